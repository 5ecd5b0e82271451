package content

import (
	"slices"
	"strings"

	"golang.org/x/net/html"
)

var (
	// urlAttributes are the attributes of HTML whose value is a URL.
	urlAttributes = []string{"href", "src", "action", "formaction", "background", "cite", "poster", "data", "longdesc", "xlink:href"}
	// safeSchemes run nothing in a reader's browser.
	safeSchemes = []string{"http", "https", "mailto", "tel", "sms", "cid"}
)

// brokenURLs returns the rule that a URL in an HTML text breaks, "" if there is none.
func brokenURLs(text string) string {
	z := html.NewTokenizer(strings.NewReader(text))
	for {
		switch z.Next() {
		case html.ErrorToken: // its end
			return ""
		case html.StartTagToken, html.SelfClosingTagToken:
			for _, a := range z.Token().Attr {
				if slices.Contains(urlAttributes, a.Key) && !safeURL(a.Val) || a.Key == "srcset" && slices.ContainsFunc(strings.Split(a.Val, ","), unsafeURL) {
					return "must have no URL in " + a.Key + " with another scheme than " + strings.Join(safeSchemes, ", ") + " or an image's data"
				}
			}
		case html.TextToken, html.EndTagToken, html.CommentToken, html.DoctypeToken:
		}
	}
}

func unsafeURL(u string) bool { return !safeURL(u) }

// safeURL reads a URL as a browser does (WHATWG URL, section 4.4): white space and control
// characters before it, and tabs and line breaks in it, do not count.
func safeURL(u string) bool {
	u = strings.TrimLeftFunc(u, func(r rune) bool { return r <= ' ' })
	u = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(u)
	scheme, _, ok := strings.Cut(u, ":")
	if !ok || strings.ContainsAny(scheme, "/?#") {
		return true // relative
	}
	if u = strings.ToLower(u); strings.HasPrefix(u, "data:image/") {
		return !strings.HasPrefix(u, "data:image/svg") // which may hold a script
	}
	return slices.Contains(safeSchemes, strings.ToLower(scheme))
}
