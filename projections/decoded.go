package projections

import (
	"sync"

	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/readmodels"
)

// DecodedCache holds what was decoded of one event, once for all projections that need
// it. It may be used by several at the same time. Its zero value is empty.
type DecodedCache struct {
	metadataOnce sync.Once
	metadata     event.Metadata
	metadataErr  error

	eventOnce sync.Once
	event     occurring
	tenant    string
	eventErr  error

	partOnce sync.Once
	part     *readmodels.PartialEDR
	partErr  error
}

// metadata are the event's, decoded.
func (e LedgerEvent) metadata() (event.Metadata, error) {
	m := e.Decoded
	if m == nil {
		return event.DecodeMetadata(e.Metadata)
	}
	m.metadataOnce.Do(func() { m.metadata, m.metadataErr = event.DecodeMetadata(e.Metadata) })
	return m.metadata, m.metadataErr
}

// notification decodes an event of a notification, as notificationEvent does. The result
// belongs to all projections: it must not be changed.
func (e LedgerEvent) notification(codec *event.Codec) (occurring, string, error) {
	m := e.Decoded
	if m == nil {
		return notificationIn(codec, e)
	}
	m.eventOnce.Do(func() {
		m.eventErr = event.Guarded(e.Recorded, func() (err error) {
			m.event, m.tenant, err = notificationIn(codec, e)
			return err
		})
	})
	return m.event, m.tenant, m.eventErr
}

// attempt is notification with the partial row of the event's attempt; nil if it is of
// none. The result must not be changed.
func (e LedgerEvent) attempt(codec *event.Codec) (notification.AttemptEvent, *readmodels.PartialEDR, error) {
	if !notification.IsOfAttempt(e.Type) {
		return nil, nil, nil
	}
	decoded, tenant, err := e.notification(codec)
	a, is := decoded.(notification.AttemptEvent)
	if err != nil || !is {
		return nil, nil, err
	}
	m := e.Decoded
	if m == nil {
		part, err := edrPart(e, a, tenant)
		return a, part, err
	}
	m.partOnce.Do(func() {
		m.partErr = event.Guarded(e.Recorded, func() (err error) {
			m.part, err = edrPart(e, a, tenant)
			return err
		})
	})
	return a, m.part, m.partErr
}
