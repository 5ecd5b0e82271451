package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutlv"
)

// Limits of a PDU, in bytes, its header included.
const (
	HeaderSize = pdu.HeaderLen
	// MaxFrame is the longest PDU that is read (the codec's limit).
	MaxFrame = pdu.MaxSize
	// MaxSkip is the longest PDU that is read away and refused. Over it the length
	// is taken for garbage and the session ends.
	MaxSkip = 128 << 10
)

// responseBit tells an answer from a request (SMPP 3.4, 5.1.2.1).
const responseBit pdu.ID = 0x80000000

// Errors of ReadFrame.
var (
	// ErrFrameLength: a length that cannot be trusted; the stream is lost.
	ErrFrameLength = errors.New("PDU length out of bounds")
	// ErrFrameTooLong: the PDU was longer than MaxFrame and was skipped; the frame
	// returned with it has a header and no body.
	ErrFrameTooLong = errors.New("PDU too long")
)

// Frame is one PDU as it came: header and undecoded body.
type Frame struct {
	ID     pdu.ID
	Status pdu.Status
	Seq    uint32
	Body   []byte
}

// IsResponse reports whether the frame is the response to a request.
func (f Frame) IsResponse() bool { return f.ID&responseBit != 0 }

// ReadFrame reads one PDU: the header first, and the body only if its length is in
// bounds.
func ReadFrame(r *bufio.Reader) (Frame, error) {
	var h [HeaderSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Frame{}, err
	}
	length := binary.BigEndian.Uint32(h[0:4])
	f := Frame{
		ID:     pdu.ID(binary.BigEndian.Uint32(h[4:8])),
		Status: pdu.Status(binary.BigEndian.Uint32(h[8:12])),
		Seq:    binary.BigEndian.Uint32(h[12:16]),
	}
	if length < HeaderSize || length > MaxSkip {
		return f, fmt.Errorf("%w: %d", ErrFrameLength, length)
	}
	if length > MaxFrame {
		if _, err := r.Discard(int(length) - HeaderSize); err != nil {
			return f, err
		}
		return f, fmt.Errorf("%w: %d", ErrFrameTooLong, length)
	}
	f.Body = make([]byte, length-HeaderSize)
	if _, err := io.ReadFull(r, f.Body); err != nil {
		return f, err
	}
	return f, nil
}

// Encode is the PDU in bytes, under that sequence number.
func Encode(b pdu.Body, seq uint32) ([]byte, error) {
	b.Header().Seq = seq
	var out bytes.Buffer
	if err := b.SerializeTo(&out); err != nil {
		return nil, fmt.Errorf("encode %s: %w", b.Header().ID, err)
	}
	if out.Len() > MaxFrame {
		return nil, fmt.Errorf("encode %s: %w: %d", b.Header().ID, ErrFrameTooLong, out.Len())
	}
	return out.Bytes(), nil
}

// header encodes a PDU that has no body.
func header(id pdu.ID, status pdu.Status, seq uint32) []byte {
	h := make([]byte, HeaderSize)
	binary.BigEndian.PutUint32(h[0:4], HeaderSize)
	binary.BigEndian.PutUint32(h[4:8], uint32(id))
	binary.BigEndian.PutUint32(h[8:12], uint32(status))
	binary.BigEndian.PutUint32(h[12:16], seq)
	return h
}

// Fields is a decoded body. Missing fields read as zero values.
type Fields struct {
	m pdufield.Map
	t pdutlv.Map
}

// dataSMFields is the mandatory part of data_sm and is not in the codec (SMPP 3.4, 4.7.1).
var dataSMFields = pdufield.List{
	pdufield.ServiceType,
	pdufield.SourceAddrTON, pdufield.SourceAddrNPI, pdufield.SourceAddr,
	pdufield.DestAddrTON, pdufield.DestAddrNPI, pdufield.DestinationAddr,
	pdufield.ESMClass, pdufield.RegisteredDelivery, pdufield.DataCoding,
}

// Decode decodes the body by the frame's kind.
func (f Frame) Decode() (Fields, error) {
	if f.ID == pdu.DataSMID {
		r := bytes.NewBuffer(f.Body)
		m, err := dataSMFields.Decode(r)
		if err != nil {
			return Fields{}, fmt.Errorf("decode data_sm: %w", err)
		}
		t, err := pdutlv.DecodeTLV(r)
		if err != nil {
			return Fields{}, fmt.Errorf("decode data_sm: %w", err)
		}
		return Fields{m, t}, nil
	}
	whole := make([]byte, 0, HeaderSize+len(f.Body))
	whole = append(whole, header(f.ID, f.Status, f.Seq)...)
	whole = append(whole, f.Body...)
	binary.BigEndian.PutUint32(whole[0:4], uint32(len(whole)))
	b, err := pdu.Decode(bytes.NewReader(whole))
	if err != nil {
		return Fields{}, fmt.Errorf("decode %#08x: %w", uint32(f.ID), err)
	}
	return Fields{b.Fields(), b.TLVFields()}, nil
}

// MessageID is the message id of a submit_sm_resp. It is read leniently, without
// the codec: a response whose tail is malformed still means that the message was taken.
func (f Frame) MessageID() string {
	id, _, _ := bytes.Cut(f.Body, []byte{0})
	return string(id)
}

// Text is a C-octet string or short message, without its NULs.
func (f Fields) Text(name pdufield.Name) string { return trimNUL(f.Bytes(name)) }

// Bytes is a field as it came.
func (f Fields) Bytes(name pdufield.Name) []byte {
	if b, ok := f.m[name]; ok && b != nil {
		switch v := b.(type) {
		case *pdufield.Variable:
			return v.Data
		case *pdufield.SM:
			return v.Data
		}
	}
	return nil
}

// Byte is a field of one octet.
func (f Fields) Byte(name pdufield.Name) byte {
	if b, ok := f.m[name].(*pdufield.Fixed); ok && b != nil {
		return b.Data
	}
	return 0
}

// TLV is an optional parameter as it came; false if it is not there.
func (f Fields) TLV(tag pdutlv.Tag) ([]byte, bool) {
	b, ok := f.t[tag]
	if !ok || b == nil {
		return nil, false
	}
	return b.Bytes(), true
}

// TLVText is an optional parameter as text, without its NULs; empty if not there.
func (f Fields) TLVText(tag pdutlv.Tag) string {
	b, _ := f.TLV(tag)
	return trimNUL(b)
}

func trimNUL(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }
