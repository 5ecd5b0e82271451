package content_test

import (
	"testing"

	"recapito/domain/content"
)

func TestURLsOfAnEmail(t *testing.T) {
	for html, good := range map[string]bool{
		`<a href="https://example.org/?a=b:c">x</a>`:                    true,
		`<a href="/a:b">x</a><a href="#a:b">x</a>`:                      true,
		`<a href="MAILTO:a@example.org">x</a>`:                          true,
		`<img srcset="https://a.example/1 1x, https://a.example/2 2x">`: true,
		`<img srcset="https://a.example/1 1x, javascript:f() 2x">`:      false,
		`<img src="cid:logo">`:                                          true,
		`<p>javascript:f()</p>`:                                         true,
		`<a href="javascript:f()">x</a>`:                                false,
		`<a href=" &#1;jAva&#10;script:f()">x</a>`:                      false,
		`<img src="data:image/png;base64,AAAA"/>`:                       true,
		`<img src="data:image/svg+xml,x"/>`:                             false,
		`<form action="vbscript:f()">`:                                  false,
		`<a HREF='javascript:f()'>x`:                                    false,
	} {
		_, err := content.Email.New(map[string]string{"subject": "s", "html": html}, nil)
		if (err == nil) != good {
			t.Errorf("%s: %v", html, err)
		}
	}
}

func TestURLsOfAttachments(t *testing.T) {
	for _, mediaType := range []string{"text/html", "image/svg+xml", "application/pdf"} {
		a := content.Attachment{Name: "a", MediaType: mediaType, Data: []byte(`<a href="javascript:f()">x</a>`)}
		_, err := content.Email.New(map[string]string{"subject": "s", "text": "x"}, []content.Attachment{a})
		if (err == nil) != (mediaType == "application/pdf") {
			t.Errorf("%s: %v", mediaType, err)
		}
	}
}
