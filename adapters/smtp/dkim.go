package smtp

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/emersion/go-msgauth/dkim"
)

// DKIM is one signature of RFC 6376. The key's type decides the algorithm: rsa-sha256, or
// ed25519-sha256 (RFC 8463). A message is signed by every key of the route.
type DKIM struct {
	Domain   string   `yaml:"domain" doc:"the signing domain (d=)"`
	Selector string   `yaml:"selector" doc:"the selector (s=): the public key stands in the DNS at <selector>._domainkey.<domain>"`
	KeyFile  string   `yaml:"key_file" doc:"the private key: PEM, PKCS #8 or PKCS #1, RSA of 2048 bits or more, or Ed25519"`
	Headers  []string `yaml:"headers" doc:"the header fields that are signed; the default is that of the docs, with List-Unsubscribe and List-Unsubscribe-Post"`
}

const minRSABits = 2048 // RFC 8301 section 3.2 asks for it

// signedHeaders are those of RFC 6376 section 5.4.1 that a message of ours can have, and
// those that RFC 8058 section 4 asks for. Each is listed once more than it can occur, also
// where it is absent: nobody can add one (section 8.15).
var signedHeaders = []string{
	"From", "From", "To", "To", "Cc", "Sender", "Subject", "Subject", "Date", "Date", "Reply-To", "Reply-To", "Message-ID", "Message-ID",
	"MIME-Version", "MIME-Version", "Content-Type", "Content-Type", "Content-Transfer-Encoding", "Content-Transfer-Encoding",
	"Auto-Submitted", "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Unsubscribe-Post",
}

// signer returns the options of a signature, with its key.
func (d DKIM) signer() (*dkim.SignOptions, error) {
	b, err := readBounded(d.KeyFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("is no PEM file")
	}
	key, err := privateKey(block)
	if err != nil {
		return nil, err
	}
	headers := d.Headers
	if len(headers) == 0 {
		headers = signedHeaders
	}
	return &dkim.SignOptions{
		Domain: d.Domain, Selector: d.Selector, Signer: key, Hash: crypto.SHA256, HeaderKeys: headers,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	}, nil
}

func privateKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	if block.Type == "RSA PRIVATE KEY" {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	} else {
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errors.New("holds no private key in PKCS #8 or PKCS #1")
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("holds an RSA key of %d bits; at least %d are required", key.N.BitLen(), minRSABits)
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, errors.New("holds a key that is neither RSA nor Ed25519")
}

// sign puts the signatures before a message.
func sign(message []byte, signatures []*dkim.SignOptions) ([]byte, error) {
	var head bytes.Buffer
	for _, o := range signatures {
		s, err := dkim.NewSigner(o)
		if err != nil {
			return nil, fmt.Errorf("dkim: %w", err)
		}
		_, err = s.Write(message)
		if err := errors.Join(err, s.Close()); err != nil {
			return nil, fmt.Errorf("dkim: %w", err)
		}
		head.WriteString(s.Signature())
	}
	return append(head.Bytes(), message...), nil
}
