package smtp

import (
	"recapito/commands/channel"
	"recapito/domain/address"
	"recapito/domain/content"
	"recapito/domain/notification"
)

// Kind is the channel "email" over SMTP.
var Kind = channel.Kind{
	Name:     "email",
	Doc:      "E-mail through smart hosts, by SMTP.",
	Address:  address.Email,
	Content:  content.Email,
	Sender:   checkSender,
	Check:    checkContent,
	Settings: func() channel.Settings { return defaults() },
	Codes:    codes,
	Reports:  notification.Sent, // delivery status notifications are not read yet
}

func checkContent(d content.Document) error {
	_, err := read(d)
	return err
}

func checkSender(sender string) error {
	_, err := ParseSender(sender)
	return err
}
