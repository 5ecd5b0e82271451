package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/google/go-cmp/cmp"

	"recapito/adapters/smpp/wire"
)

// TestKilled: of a simulator killed with -9, every message it answered is in the
// journal, and every receipt it owed comes from the next one, to the right number.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SMSC_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	e := bound(t, strings.TrimSpace(line))
	const messages = 300
	for i := range messages {
		e.submit(sm(t, fmt.Sprintf("n%d/1", i)))
	}
	eventually(t, "many are answered", func() bool { return len(e.events()) > messages/3 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	<-e.Done()

	entries, err := ReadJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	journal, pending := map[string]Entry{}, 0
	for _, entry := range entries {
		journal[entry.ID] = entry
		if entry.Receipt == ReceiptPending {
			pending++
		}
	}
	if pending == 0 {
		t.Error("no receipt is pending: the test came too late")
	}
	for _, event := range e.events() {
		id, ok := strings.CutPrefix(event, "answer 0x00000000 ")
		if entry, known := journal[id]; ok && (!known || entry.Silent) {
			t.Errorf("%s was answered and is not so in the journal", id)
		}
	}

	s, _ := start(t, Options{Dir: dir})
	if got := s.Stats().Pending; got != uint64(pending) {
		t.Errorf("%d receipts pending of %d", got, pending)
	}
	e = bound(t, s.Addr())
	eventually(t, "all receipts are taken", func() bool { return s.Stats().Acknowledged == uint64(pending) })
	for _, f := range e.receipts() {
		if f.Text(pdufield.SourceAddr) != testNumber {
			t.Error("a receipt of another number")
		}
	}
}

// TestReceiptsAfterRestart: receipts not acknowledged come from the next simulator,
// in the order they are due, and those acknowledged do not.
func TestReceiptsAfterRestart(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Options{Dir: dir, ReceiptRetryMin: time.Hour, ReceiptRetryMax: time.Hour})
	e := bound(t, s.Addr())
	e.submit(sm(t, "taken/1"))
	eventually(t, "the first is taken", func() bool { return s.Stats().Acknowledged == 1 })
	e.mu.Lock()
	e.status = wire.StatusTemporary
	e.mu.Unlock()
	for i := range 3 {
		e.submit(sm(t, fmt.Sprintf("refused%d/1", i)))
	}
	eventually(t, "the others are refused", func() bool { return s.Stats().Declined == 3 })
	stop()

	s, _ = start(t, Options{Dir: dir, EchoReference: true})
	if got := s.Stats().Pending; got != 3 {
		t.Errorf("%d receipts pending", got)
	}
	e = bound(t, s.Addr())
	eventually(t, "they are taken", func() bool { return s.Stats().Acknowledged == 3 })
	var got []string
	for _, f := range e.receipts() {
		got = append(got, f.TLVText(wire.TagReference))
		if f.Text(pdufield.SourceAddr) != testNumber || f.Text(pdufield.DestinationAddr) != "Recapito" {
			t.Error("a receipt with other addresses")
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"refused0/1", "refused1/1", "refused2/1"}, got); diff != "" {
		t.Error(diff)
	}
	f := e.ask(sm(t, "next/1"))
	entries, err := ReadJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, entry := range entries {
		ids[entry.ID] = true
	}
	if len(ids) != 5 || !ids[f.MessageID()] {
		t.Errorf("5 messages over a restart have %d ids", len(ids))
	}
}

// TestReceiptsWaitForABind: with nobody there, they wait; an ESME that does not answer
// gets them again.
func TestReceiptsWaitForABind(t *testing.T) {
	s, _ := start(t, Options{Behaviour: Behaviour{ReceiptDelay: 20 * time.Millisecond}, AnswerTimeout: 20 * time.Millisecond, ReceiptRetryMin: time.Millisecond})
	e := bound(t, s.Addr())
	e.mu.Lock()
	e.mute = true
	e.mu.Unlock()
	e.ask(sm(t, ""))
	eventually(t, "it comes again and again", func() bool { return len(e.receipts()) >= 3 })
	e.Close(wire.ErrClosed)
	<-e.Done()
	if got := s.Stats(); got.Acknowledged != 0 || got.Pending != 1 {
		t.Errorf("stats %+v", got)
	}
	transmitter := connect(t, s.Addr())
	transmitter.ask(bindPDU(t, pdu.NewBindTransmitter(), "us", ""))
	receiver := connect(t, s.Addr())
	receiver.ask(bindPDU(t, pdu.NewBindReceiver(), "us", ""))
	eventually(t, "the receiver takes it", func() bool { return s.Stats().Acknowledged == 1 })
	if n := len(transmitter.receipts()); n != 0 {
		t.Error("a transmitter got a receipt")
	}
	if f := receiver.ask(sm(t, "")); f.Status != wire.StatusNotBound {
		t.Errorf("a receiver's message: %s", wire.StatusCode(f.Status))
	}
}

func TestMixes(t *testing.T) {
	for _, c := range []struct {
		name string
		mix  Mix
		want func(stats Stats, events []string) bool
	}{
		{"refused for good", Mix{RefusePermanently: 1}, func(s Stats, e []string) bool {
			return s.Refused == 1 && e[0] == "answer 0x0000000B "
		}},
		{"throttled", Mix{Throttle: 1}, func(s Stats, e []string) bool { return s.Throttled == 1 }},
		{"refused for now", Mix{RefuseTransiently: 1}, func(s Stats, e []string) bool {
			return s.Refused == 1 && e[0] == "answer 0x00000008 "
		}},
		{"undelivered", Mix{Undelivered: 1}, func(s Stats, e []string) bool {
			return s.Acknowledged == 1 && strings.Contains(e[1], "stat:UNDELIV err:027 text:") && strings.Contains(e[1], "dlvrd:000")
		}},
		{"answer lost", Mix{LoseAnswer: 1}, func(s Stats, e []string) bool {
			return s.Unanswered == 1 && s.Acknowledged == 1 && len(e) == 1 && strings.HasPrefix(e[0], "receipt ")
		}},
		{"receipt lost", Mix{LoseReceipt: 1}, func(s Stats, e []string) bool {
			return s.Accepted == 1 && s.Pending == 0 && len(e) == 1
		}},
		{"receipt twice", Mix{DuplicateReceipt: 1}, func(s Stats, e []string) bool {
			return s.ReceiptsSent == 2 && s.Acknowledged == 1 && s.Pending == 0 && len(e) == 3 && e[1] == e[2]
		}},
		{"receipt first", Mix{ReceiptFirst: 1}, func(s Stats, e []string) bool {
			return s.Acknowledged == 1 && len(e) == 2 && strings.HasPrefix(e[0], "receipt ") && strings.HasPrefix(e[1], "answer ")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := start(t, Options{Behaviour: Behaviour{Mix: c.mix}})
			e := bound(t, s.Addr())
			e.submit(sm(t, ""))
			deadline := time.Now().Add(patience)
			for len(e.events()) == 0 || !c.want(s.Stats(), e.events()) {
				if time.Now().After(deadline) {
					t.Fatalf("stats %+v, %d events", s.Stats(), len(e.events()))
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// TestSeed: the same seed, the same verdicts; and the mix holds over many.
func TestSeed(t *testing.T) {
	mix := Mix{RefusePermanently: 0.1, RefuseTransiently: 0.1, Undelivered: 0.2, LoseReceipt: 0.1, DuplicateReceipt: 0.1}
	verdicts := func(seed uint64) []string {
		dir := t.TempDir()
		s, stop := start(t, Options{Dir: dir, Seed: seed, Behaviour: Behaviour{Mix: mix}})
		e := bound(t, s.Addr())
		const messages = 1000
		for range messages {
			e.submit(sm(t, ""))
		}
		eventually(t, "all are answered", func() bool { st := s.Stats(); return st.Accepted+st.Refused == messages })
		stop()
		entries, err := ReadJournal(dir)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range entries {
			out = append(out, fmt.Sprintf("%s %d %t %t", e.Verdict, e.Status, e.Delivered, e.Receipt == ReceiptLost))
		}
		return out
	}
	first := verdicts(7)
	if !slices.Equal(first, verdicts(7)) {
		t.Error("the same seed gives other verdicts")
	}
	if slices.Equal(first, verdicts(8)) {
		t.Error("another seed gives the same verdicts")
	}
	count := map[string]int{}
	for _, v := range first {
		count[v]++
	}
	for verdict, share := range map[string]float64{
		"refused 11 false false": 0.1, "refused 8 false false": 0.1, "accepted 0 false false": 0.8 * 0.2 * 0.9,
	} {
		if got := float64(count[verdict]) / float64(len(first)); got < share-0.04 || got > share+0.04 {
			t.Errorf("%s: %.3f, not %.3f", verdict, got, share)
		}
	}
}

func TestRate(t *testing.T) {
	s, _ := start(t, Options{Behaviour: Behaviour{Rate: 50}})
	e := bound(t, s.Addr())
	for range 40 {
		e.submit(sm(t, ""))
	}
	eventually(t, "some are throttled", func() bool { st := s.Stats(); return st.Accepted+st.Throttled == 40 })
	if st := s.Stats(); st.Accepted < 6 || st.Throttled < 10 {
		t.Errorf("stats %+v", st)
	}
}

func TestBindChecks(t *testing.T) {
	s, _ := start(t, Options{SystemID: "us", Password: "secret"})
	for _, c := range []struct {
		id, password string
		want         pdu.Status
	}{
		{"them", "secret", wire.StatusInvalidSystemID},
		{"us", "wrong", wire.StatusInvalidPassword},
		{"us", "secret", wire.StatusOK},
	} {
		e := connect(t, s.Addr())
		if f := e.ask(sm(t, "")); f.Status != wire.StatusNotBound {
			t.Errorf("a message before the bind: %s", wire.StatusCode(f.Status))
		}
		if f := e.ask(bindPDU(t, pdu.NewBindTransceiver(), c.id, c.password)); f.Status != c.want {
			t.Errorf("%s/%s: %s", c.id, c.password, wire.StatusCode(f.Status))
		}
		if c.want == wire.StatusOK {
			if f := e.ask(bindPDU(t, pdu.NewBindTransceiver(), c.id, c.password)); f.Status != wire.StatusAlreadyBound {
				t.Errorf("a second bind: %s", wire.StatusCode(f.Status))
			}
		}
	}
}

// TestStopGivesAnswersOwed: stopped, it answers what it has taken, and unbinds.
func TestStopGivesAnswersOwed(t *testing.T) {
	s, stop := start(t, Options{Behaviour: Behaviour{Latency: time.Hour}})
	e := bound(t, s.Addr())
	e.submit(sm(t, ""))
	eventually(t, "it is taken", func() bool { return s.Stats().Accepted == 1 })
	stop()
	<-e.Done()
	if got := e.events(); len(got) != 1 || !strings.HasPrefix(got[0], "answer 0x00000000 ") {
		t.Errorf("%d events", len(got))
	}
}

// TestParts: the part comes from the user data header where no parameter tells it.
func TestParts(t *testing.T) {
	dir := t.TempDir()
	s, _ := start(t, Options{Dir: dir})
	e := bound(t, s.Addr())
	for _, header := range []string{"\x05\x00\x03\x09\x03\x02", "\x06\x08\x04\x01\x02\x03\x02", "\x09\x05\x04\x00", ""} {
		p := sm(t, "")
		if err := p.Fields().Set(pdufield.ShortMessage, header+"text"); err != nil {
			t.Fatal(err)
		}
		if header != "" {
			if err := p.Fields().Set(pdufield.ESMClass, wire.ESMUDHI); err != nil {
				t.Fatal(err)
			}
		}
		e.ask(p)
	}
	entries, err := ReadJournal(dir)
	if err != nil || len(entries) != 4 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, want := range [][2]int{{2, 3}, {2, 3}, {0, 0}, {0, 0}} {
		if got := [2]int{entries[i].Part, entries[i].Total}; got != want {
			t.Errorf("message %d: part %d of %d", i, got[0], got[1])
		}
	}
	if entries[0].Text != entries[1].Text || entries[0].Text != entries[3].Text {
		t.Error("the text's hash holds its header")
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{},
		{Dir: "x", OmitText: true, OmitTLVs: true},
		{Dir: "x", AnswerIDs: "octal"},
		{Dir: "x", Behaviour: Behaviour{Rate: -1}},
		{Dir: "x", Behaviour: Behaviour{Mix: Mix{RefusePermanently: 0.6, RefuseTransiently: 0.6}}},
		{Dir: "x", Behaviour: Behaviour{Mix: Mix{LoseAnswer: 2}}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	s, _ := start(t, Options{})
	if err := s.Behave(Behaviour{Latency: -1}); err == nil {
		t.Error("a negative latency was accepted")
	}
}
