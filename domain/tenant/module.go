package tenant

import (
	"fmt"
	"time"

	"recapito/domain/event"
)

// Module is the aggregate as the catalogue lists it.
var Module = event.Module{
	Title: "Tenant", Prefix: StreamPrefix, Stream: Stream("acme"),
	About:       "The API keys of a tenant. Stream `tenant-<name>`.",
	Definitions: definitions(),
	Samples:     samples,
	Phrase:      event.PhraseOf(phraseOf),
}

func phraseOf(e Event) string {
	switch e := e.(type) {
	case KeyCreated:
		return fmt.Sprintf("The API key %s was created.", e.KeyID)
	case KeyRevoked:
		return fmt.Sprintf("The API key %s was revoked.", e.KeyID)
	}
	return ""
}

func samples() []any {
	return []any{
		KeyCreated{KeyID: "k-1", Hash: "9f86d081", Label: "booking service", At: event.SampleAt(0)},
		KeyRevoked{KeyID: "k-1", Hash: "9f86d081", At: event.SampleAt(time.Hour)},
	}
}
