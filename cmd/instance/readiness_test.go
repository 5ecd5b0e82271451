package instance

import (
	"errors"
	"fmt"
	"testing"

	"recapito/commands/channel"
)

func TestADownRouteShowsItsReason(t *testing.T) {
	down := fmt.Errorf("%w: crm: %w", channel.ErrRouteDown, errors.New("certificate has expired"))
	if detail, err := routeState(down); !errors.Is(err, channel.ErrRouteDown) || detail != "route is down: crm: certificate has expired" {
		t.Errorf("%q, %v", detail, err)
	}
	if detail, err := routeState(nil); detail != "" || err != nil {
		t.Errorf("%q, %v", detail, err)
	}
}
