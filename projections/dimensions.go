package projections

import (
	"recapito/domain/dimension"
	"recapito/domain/notification"
	"recapito/readmodels"
)

// The dimensions of an event as rows have them. The structs have the same fields; that
// none is missing from the lists of columns is tested.

func dimensionsOf(f notification.Facts) readmodels.Dimensions {
	return readmodels.Dimensions{OfAttempt: readmodels.OfAttempt(f.OfAttempt), OfNotification: dimensionsOfNotification(f.OfNotification)}
}

func dimensionsOfNotification(d dimension.OfNotification) readmodels.OfNotification {
	return readmodels.OfNotification(d)
}
