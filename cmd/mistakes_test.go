package cmd

import (
	"fmt"
	"strings"
	"testing"
)

// What is typed wrong is refused with what to do, its exit code, and nothing of what
// was typed that could be personal.
func TestMistakesAreExplained(t *testing.T) {
	t.Parallel()
	dir, i := sharedSandbox(t)
	const secret = "+39333123456789012"
	for _, m := range []struct {
		args string
		code int
		says string
	}{
		{"show x --data /nonexistent", 1, "no instance is running on /nonexistent: start one with"},
		{"send nosuch --to sms=+393331234567", 1, "scenario: there is no such scenario"},
		{"send appointment --to sms=" + secret, 1, "to.sms[0]: must be a phone number in E.164 form"},
		{"send appointment --to " + secret, 1, "--to must be channel=address"},
		{"send appointment --to fax=" + secret, 1, "to: names a channel that has no route"},
		{"send appointment --to sms=+393331234567 --field " + secret, 1, "--field must be name=value"},
		{"send appointment --to sms=+393331234567 --field foo=" + secret, 1, "fields.foo: the scenario appointment defines no such field"},
		{"send payment --to sms=+393331234567", 1, "fields.notice: is required"},
		{"send appointment --to sms=+393331234567 --send-at tomorrow", 1, "send_at: must be a time of RFC 3339"},
		{"send appointment", 2, "missing flags: --to"},
		{"shwo x", 2, `did you mean "show"`},
		{"show x", 1, "(404 not_found)"},
		{"keys revoke x", 1, "(404 not_found)"},
		{"rebuild x", 1, "(404 not_found)"},
		{"rebuild", 1, "name one projection, or --all"},
		{"rebuild edr --all", 1, "name one projection, or --all"},
		{"serve --config /nonexistent", 2, "no such file"},
		{"serve", 1, fmt.Sprintf("an instance already runs on %s (http://%s", dir, i.HTTP)},
		{"sandbox", 1, "an instance already runs on "},
	} {
		args := strings.Fields(m.args)
		if !strings.Contains(m.args, "--data") && m.code == 1 {
			args = append(args, "--data", dir)
		}
		_, err := verb(t, args...)
		switch {
		case err == nil:
			t.Errorf("recapito %s: no error", args[0])
		case !strings.Contains(err.Error(), fmt.Sprintf("exit %d: ", m.code)) || !strings.Contains(err.Error(), m.says):
			t.Errorf("recapito %s answers\n%v\nwanted: exit %d, %s", args[0], err, m.code, m.says)
		case strings.Contains(err.Error(), secret):
			t.Errorf("recapito %s repeats what was given", args[0])
		}
	}
}
