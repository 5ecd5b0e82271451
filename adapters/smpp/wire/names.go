package wire

import (
	"fmt"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutlv"
)

// Statuses of a PDU (SMPP 3.4, 5.1.3), those that are used here.
const (
	StatusOK                 pdu.Status = 0x00000000
	StatusInvalidLength      pdu.Status = 0x00000002 // ESME_RINVCMDLEN
	StatusInvalidCommand     pdu.Status = 0x00000003 // ESME_RINVCMDID
	StatusNotBound           pdu.Status = 0x00000004 // ESME_RINVBNDSTS
	StatusAlreadyBound       pdu.Status = 0x00000005 // ESME_RALYBND
	StatusSystemError        pdu.Status = 0x00000008 // ESME_RSYSERR
	StatusInvalidDestination pdu.Status = 0x0000000B // ESME_RINVDSTADR
	StatusInvalidPassword    pdu.Status = 0x0000000E // ESME_RINVPASWD
	StatusInvalidSystemID    pdu.Status = 0x0000000F // ESME_RINVSYSID
	StatusQueueFull          pdu.Status = 0x00000014 // ESME_RMSGQFUL
	StatusThrottled          pdu.Status = 0x00000058 // ESME_RTHROTTLED
	StatusTemporary          pdu.Status = 0x00000064 // ESME_RX_T_APPN
	StatusPermanent          pdu.Status = 0x00000065 // ESME_RX_P_APPN
)

// Bits of esm_class (SMPP 3.4, 5.2.12).
const (
	ESMReceipt      byte = 0x04 // SMSC delivery receipt
	ESMIntermediate byte = 0x20 // intermediate delivery notification
	ESMTypeMask     byte = 0x3C
	ESMUDHI         byte = 0x40 // the short message begins with a user data header
)

// Values of data_coding.
const (
	CodingDefault byte = 0x00
	CodingUCS2    byte = 0x08
)

// Values of message_state (SMPP 3.4, 5.2.28).
const (
	StateEnroute       byte = 1
	StateDelivered     byte = 2
	StateExpired       byte = 3
	StateDeleted       byte = 4
	StateUndeliverable byte = 5
	StateAccepted      byte = 6
	StateUnknown       byte = 7
	StateRejected      byte = 8
	StateSkipped       byte = 9 // SMPP 5.0, 4.7.15
)

// Parameters of ours, in the range the standard leaves to vendors. A peer that does
// not know them ignores them (SMPP 3.4, 3.3).
const (
	// TagReference carries our client reference of the message.
	TagReference pdutlv.Tag = 0x1501
	// TagPart carries, in one octet, which part of the message this is, from 1.
	TagPart pdutlv.Tag = 0x1502
)

// StatusCode writes a status the way providers' tables do: 0x00000058.
func StatusCode(s pdu.Status) string { return fmt.Sprintf("0x%08X", uint32(s)) }

// hasResponse reports whether a request expects an answer of its own kind, so that it
// can be refused by that; others can only be refused by a generic_nack.
func hasResponse(id pdu.ID) bool {
	switch id {
	case pdu.BindReceiverID, pdu.BindTransmitterID, pdu.BindTransceiverID, pdu.QuerySMID,
		pdu.SubmitSMID, pdu.DeliverSMID, pdu.UnbindID, pdu.ReplaceSMID, pdu.CancelSMID,
		pdu.EnquireLinkID, pdu.SubmitMultiID, pdu.DataSMID:
		return true
	}
	return false
}

// isSilent reports whether a request must not be answered at all.
func isSilent(id pdu.ID) bool {
	return id == pdu.OutbindID || id == pdu.AlertNotificationID
}
