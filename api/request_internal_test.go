package api

import (
	"testing"

	"recapito/commands/intake/strictjson"
)

// FuzzRequest: whatever a body holds, it is read or refused, and the problems name
// places and rules only.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"scenario":"a","to":{"sms":["+391"]},"fields":{"day":1},"send_at":"2026-01-01T00:00:00Z","test":true}`))
	f.Add([]byte(`{"to":{"sms":[1]},"Fields":[],"x y":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := strictjson.Parse(data)
		if err != nil {
			return
		}
		readRequest(o)
		for _, p := range o.Problems() {
			if p.Field == "" || p.Message == "" {
				t.Fatal("a problem without place or rule")
			}
		}
	})
}
