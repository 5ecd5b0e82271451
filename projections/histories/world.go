package histories

import (
	"fmt"
	"math/rand/v2"
	"time"

	"recapito/domain/notification"
)

// The made-up world: who sends what, where to, over which routes.

type tenantOf struct {
	name   string
	weight int
}

var tenants = []tenantOf{
	{"acme", 40}, {"banca-nord", 25}, {"clinica-sole", 15}, {"dhl-demo", 10}, {"enel-demo", 7}, {"fiorista", 3},
}

// scenarioOf is a scenario: its texts' length and the steps it tries.
type scenarioOf struct {
	name, version string
	weight        int
	brand         string
	segment       string
	priority      string
	textBytes     int
	fields        []string // personal
	open          []string // not personal
	steps         [][]string
	wanted        notification.Status
	wait          time.Duration
}

var scenarios = []scenarioOf{
	{"otp", "9f2c61d04be7a385", 30, "Bank", "retail", "high", 90, nil, []string{"channel_of_login"}, [][]string{{"sms"}}, notification.Delivered, 2 * time.Minute},
	{"appointment", "3f2a77c1905d4be2", 20, "Clinic", "patients", "normal", 160, []string{"name"}, []string{"day", "ward"}, [][]string{{"push"}, {"sms"}}, notification.Delivered, 15 * time.Minute},
	{"parcel", "b81e02f6ac934d57", 20, "Parcel", "", "normal", 140, []string{"name", "address"}, []string{"depot"}, [][]string{{"whatsapp"}, {"sms"}}, notification.Delivered, 30 * time.Minute},
	{"payment", "5cd04a9be71f8326", 15, "Energy", "overdue", "normal", 240, []string{"name", "amount"}, []string{"product", "month"}, [][]string{{"email", "sms"}, {"voice"}}, notification.Read, 6 * time.Hour},
	{"newsletter", "e4790cb5d12a6f38", 15, "Shop", "loyal", "low", 900, []string{"name"}, []string{"issue"}, [][]string{{"email"}}, notification.Delivered, 4 * time.Hour},
}

// routeOf is a route and how its provider behaves, in thousandths.
type routeOf struct {
	name, channel                  string
	sender                         string
	refusedSoon, refusedForGood    int // of sends: transient, permanent
	lost                           int // of sends: no answer
	down                           int // of attempts: never taken by a worker
	delivered, undelivered, opened int // of sends accepted; opened: of those delivered
	doubled, late                  int // of receipts
	unknown                        notification.UnknownPolicy
	answers                        time.Duration // about how long a receipt takes
}

var routes = []routeOf{
	{"smsc-a", "sms", "ACME", 15, 10, 6, 1, 930, 50, 0, 12, 10, notification.UnknownWait, 4 * time.Second},
	{"smsc-b", "sms", "INFO", 30, 15, 10, 2, 900, 70, 0, 20, 15, notification.UnknownResend, 9 * time.Second},
	{"smsc-c", "sms", "39320", 10, 20, 8, 1, 880, 80, 0, 8, 25, notification.UnknownHold, 20 * time.Second},
	{"apns", "push", "app", 5, 30, 2, 0, 820, 120, 300, 3, 2, notification.UnknownResend, 500 * time.Millisecond},
	{"wa-cloud", "whatsapp", "ACME", 8, 25, 3, 0, 900, 60, 620, 5, 4, notification.UnknownWait, 3 * time.Second},
	{"smtp-1", "email", "no-reply", 25, 15, 4, 1, 960, 30, 280, 2, 8, notification.UnknownResend, 7 * time.Second},
	{"voice-it", "voice", "800100", 20, 30, 10, 1, 700, 260, 0, 4, 4, notification.UnknownHold, 40 * time.Second},
}

type countryOf struct {
	name      string
	weight    int
	operators []string
}

var countries = []countryOf{
	{"IT", 70, []string{"22201", "22210", "22288", "22299", "22250"}},
	{"DE", 10, []string{"26201", "26202", "26203"}},
	{"FR", 8, []string{"20801", "20810"}},
	{"ES", 6, []string{"21401", "21407"}},
	{"CH", 4, []string{"22801"}},
	{"GB", 2, []string{"23410", "23415"}},
}

var failureCodes = []string{"0x0000000b", "0x00000045", "001", "005", "069", "absent", "mailbox_full", "blocked"}

// pick returns one of all, each as likely as its weight.
func pick[T any](r *rand.Rand, all []T, weight func(T) int) T {
	sum := 0
	for _, one := range all {
		sum += weight(one)
	}
	n := r.IntN(sum)
	for _, one := range all {
		if n -= weight(one); n < 0 {
			return one
		}
	}
	return all[len(all)-1]
}

func routeFor(r *rand.Rand, channel string) routeOf {
	var fit []routeOf
	for _, one := range routes {
		if one.channel == channel {
			fit = append(fit, one)
		}
	}
	return fit[r.IntN(len(fit))]
}

func routeNamed(name string) routeOf {
	for _, one := range routes {
		if one.name == name {
			return one
		}
	}
	panic(fmt.Sprintf("histories: no route %q", name))
}

// policy is that of a route as it would be set up.
func (r routeOf) policy() notification.Policy {
	return notification.Policy{
		Tries: 3, BackOff: notification.Duration(10 * time.Second), BackOffMax: notification.Duration(5 * time.Minute),
		WireLimit: notification.Duration(30 * time.Second), Redispatch: notification.Duration(5 * time.Minute),
		Patience: notification.Duration(30 * time.Minute), Unknown: r.unknown,
		UnknownLimit: notification.Duration(10 * time.Minute), Resends: 1,
	}
}
