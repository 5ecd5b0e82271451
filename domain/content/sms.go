package content

// MaxTextBytes bounds the text of a short message: ten concatenated segments hold
// less (3GPP TS 23.040, section 9.2.3.24.1), so the channel's own rule comes first.
const MaxTextBytes = 10_000

// SMS is the content of a short message.
var SMS = Kind{
	Name: "sms", Version: 1,
	Members: []Member{
		{Name: "text", Doc: "the text", Required: true, Format: Text, MaxBytes: MaxTextBytes},
	},
}
