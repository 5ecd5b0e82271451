package smpp

import (
	"recapito/adapters/smpp/wire"
	"recapito/commands/channel"
)

// codes are the command statuses of a submit_sm_resp (SMPP 3.4, 5.1.3). One that is not listed is
// permanent.
var codes = channel.CodesOf("smpp-3.4-2", channel.Permanent,
	channel.Code{Code: wire.StatusCode(wire.StatusInvalidLength), Meaning: "The message length is invalid.", Class: channel.Permanent},
	channel.Code{Code: wire.StatusCode(wire.StatusInvalidCommand), Meaning: "The SMSC does not know the command.", Class: channel.Permanent},
	channel.Code{Code: wire.StatusCode(wire.StatusNotBound), Meaning: "The session is not bound for sending.", Class: channel.Permanent},
	channel.Code{Code: wire.StatusCode(wire.StatusSystemError), Meaning: "The SMSC had an internal error.", Class: channel.Transient},
	channel.Code{Code: wire.StatusCode(wire.StatusInvalidDestination), Meaning: "The destination address is invalid.", Class: channel.Permanent},
	channel.Code{Code: wire.StatusCode(wire.StatusQueueFull), Meaning: "The SMSC's queue is full.", Class: channel.Busy},
	channel.Code{Code: wire.StatusCode(wire.StatusThrottled), Meaning: "The route sends faster than the SMSC allows.", Class: channel.Busy},
	channel.Code{Code: wire.StatusCode(wire.StatusTemporary), Meaning: "The SMSC reports a temporary error.", Class: channel.Transient},
	channel.Code{Code: wire.StatusCode(wire.StatusPermanent), Meaning: "The SMSC reports a permanent error.", Class: channel.Permanent},
)
