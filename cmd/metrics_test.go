package cmd

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestMetricsTellHowPartsAre: an instance that is ready has it in its metrics, and how
// far its projections are once a notification was sent.
func TestMetricsTellHowPartsAre(t *testing.T) {
	inEveryWorld(t, metricsTellHowPartsAre)
}

func metricsTellHowPartsAre(t *testing.T, w *world) {
	p := startWith(t, w.variables(), "sandbox", "--data", w.dir, "--http", "127.0.0.1:0", "--every", "1h")
	i := instanceOf(t, p, w.dir)
	t.Cleanup(p.stop)
	want := []string{
		`recapito_store_up 1`, `recapito_bus_up 1`, `recapito_delivery_failing 0`, `recapito_delivery_waiting_inputs 0`,
		`recapito_route_up{route="smsc"} 1`, `recapito_projection_ready{projection="edr"} 1`,
		`recapito_projection_waiting_events{projection="edr"} 0`, `recapito_projection_lag_seconds{projection="events"} 0`,
	}
	some := regexp.MustCompile(`(?m)^recapito_projection_events\{projection="edr"\} [1-9]`)
	eventually(t, time.Minute, func() error {
		page := get(t, "http://"+i.Metrics+"/metrics")
		for _, line := range want {
			if !strings.Contains(page, "\n"+line+"\n") {
				return fmt.Errorf("the metrics do not say %s", line)
			}
		}
		if !some.MatchString(page) {
			return fmt.Errorf("the metrics count no event of the edr")
		}
		return nil
	})
}
