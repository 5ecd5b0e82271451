package config_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"recapito/cmd/config"
)

// A duration has its unit in every format.
func TestDurationsInLogsHaveUnits(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		c := config.Default()
		c.Log.Format, c.Log.Level = format, "info"
		var out bytes.Buffer
		log, err := c.Logger(&out)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("ready", "took", 127*time.Millisecond)
		if !strings.Contains(out.String(), "127ms") {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}
