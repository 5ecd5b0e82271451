package cmd

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"recapito/adapters/rest"
	restsandbox "recapito/adapters/rest/sandbox"
	"recapito/adapters/smtp/smtptest"
	"recapito/cmd/config"
	"recapito/cmd/instance"
	"recapito/domain/notification"
	"recapito/domain/tenant"
)

// channelsConfig writes a configuration with a route for sms and whatever routes are
// given, and a folder with a scenario of the same name for each text.
func channelsConfig(t *testing.T, smsc, routes string, scenarios map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	folder := filepath.Join(dir, "scenarios")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range scenarios {
		if err := os.WriteFile(filepath.Join(folder, name+".yaml"), []byte("name: "+name+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := "data: " + filepath.Join(dir, "data") + "\nscenarios: " + folder + `
http: {addr: "127.0.0.1:0"}
routes:
  - name: smsc
    channel: sms
    settings: {addr: "` + smsc + `", system_id: recapito, echoes_reference: true}
` + routes
	file := filepath.Join(dir, "recapito.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ended sends a request and waits until it is final.
func ended(t *testing.T, l *instance.Instance, request map[string]any) notification.State {
	t.Helper()
	var accepted struct{ ID string }
	c := newClient(l.RunFile, tenant.Default)
	if err := c.call(t.Context(), "POST", "/v1/notifications", request, &accepted); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	final, err := l.WaitFinal(ctx, []string{accepted.ID})
	if err != nil {
		t.Fatal(err)
	}
	return final[accepted.ID]
}

const noticeScenario = `
fields: [{name: title, type: text, required: true}]
steps: [{channel: email, wanted: sent, wait: 30s}, {channel: sms, wanted: delivered, wait: 30s}]
senders: {sms: Clinic}
content:
  email: {subject: "Notice {{ title }}", html: "<p>{{ title }}</p>", text: "{{ title }}"}
  sms: {text: "{{ title }}"}
`

// A mail goes to a real Postfix and is read back; one that Postfix refuses goes by SMS.
func TestEmailThenSMS(t *testing.T) {
	postfix := smtptest.StartPostfix(t)
	_, smsc := startSMSC(t, t.TempDir(), "127.0.0.1:0", "--receipt-delay", "10ms", "--echo")
	l := openHere(t, channelsConfig(t, smsc, `
  - name: mail
    channel: email
    settings: {hosts: [{addr: "`+postfix.Addr()+`", tls: none}], sender: "Clinic <clinic@example.org>"}
`, map[string]string{"notice": noticeScenario}))
	request := func(mailbox string) map[string]any {
		return map[string]any{
			"scenario": "notice", "fields": map[string]any{"title": "Fish & <chips>"},
			"to": map[string]any{"email": []string{mailbox}, "sms": []string{testNumber(1)}},
		}
	}
	s := ended(t, l, request("ada@example.org"))
	if s.Lifecycle() != notification.LifecycleSent || len(s.Attempts) != 1 || s.Attempts[0].Channel != "email" {
		t.Errorf("accepted by Postfix: %s after %d attempts", s.Lifecycle(), len(s.Attempts))
	}
	mail := postfix.Sink.Wait(1)[0]
	if body := string(mail.Data); !strings.Contains(body, "<p>Fish &amp; &lt;chips&gt;</p>") || mail.Header("Subject") != "Notice Fish & <chips>" || mail.To != "ada@example.org" {
		t.Errorf("read back: subject %q", mail.Header("Subject"))
	}
	s = ended(t, l, request(smtptest.RefusedMailbox))
	if s.Lifecycle() != notification.LifecycleDelivered || len(s.Attempts) != 2 || s.Attempts[0].Status != notification.Undelivered || s.Attempts[1].Channel != "sms" {
		t.Errorf("refused by Postfix: %s after %d attempts", s.Lifecycle(), len(s.Attempts))
	}
}

// A call goes out, its service calls back that it was delivered, and with a reply.
func TestRestIsCalledBack(t *testing.T) {
	service, err := restsandbox.New(restsandbox.Options{Addr: "127.0.0.1:0", Delay: 10 * time.Millisecond, Reply: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- service.Run(ctx) }()
	t.Cleanup(func() { stop(); <-served })
	// The callback's URL is configured before the API listens: it leads there by a proxy.
	var api atomic.Pointer[url.URL]
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(api.Load()) }})
	t.Cleanup(proxy.Close)
	_, smsc := startSMSC(t, t.TempDir(), "127.0.0.1:0")
	c, err := config.Load(channelsConfig(t, smsc, "", map[string]string{"call": `
steps: [{channel: rest, wanted: delivered, wait: 30s}]
content: {rest: {body: '{"text":"Will you come?"}'}}
`}), nil, instance.Kinds)
	if err != nil {
		t.Fatal(err)
	}
	c.Routes = append(c.Routes, config.Route{
		Name: "api", Channel: rest.Kind.Name, Kind: rest.Kind, Own: service.Settings(proxy.URL + "/v1/callbacks/api"),
	})
	l := openConfigured(t, c)
	api.Store(&url.URL{Scheme: "http", Host: l.RunFile.HTTP})
	request := map[string]any{"scenario": "call", "to": map[string]any{"rest": []string{"user-42"}}}
	var accepted struct{ ID string }
	if err := newClient(l.RunFile, tenant.Default).call(t.Context(), "POST", "/v1/notifications", request, &accepted); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		loaded, err := l.Notifications.Get(t.Context(), tenant.Default, accepted.ID)
		if err != nil {
			return err
		}
		if s := loaded.State; s.Lifecycle() != notification.LifecycleDelivered || len(s.Replies) != 1 {
			return fmt.Errorf("%s with %d replies", s.Lifecycle(), len(s.Replies))
		}
		return nil
	})
}
