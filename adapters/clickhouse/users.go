package clickhouse

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// Writer is the name of the user that may change the read models: the ledger.
const Writer = "recapito"

// Users are who may use an engine. They are the front's: the engine itself knows one
// user only.
type Users struct {
	// WriterPassword is that of the user [Writer]. Empty: no one needs a password, and
	// whoever does not give a reader's name may write.
	WriterPassword string `json:"writer_password"`
	// Readers see the rows of their tenant, and change nothing.
	Readers []Reader `json:"readers"`
}

// Reader is a user of a tenant, for its BI tools.
type Reader struct {
	Name           string `json:"name"`
	Tenant         string `json:"tenant"`
	PasswordSHA256 string `json:"password_sha256"` // in hex; empty: no password
}

const (
	maxUsersBytes  = 1 << 20 // of the line that gives a child its users
	maxTenantBytes = 256
)

var readerName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// Check returns what is wrong with the readers, naming none of their secrets.
func (u Users) Check() error {
	var errs []error
	seen := map[string]bool{Writer: true}
	for i, r := range u.Readers {
		switch hash, err := hex.DecodeString(r.PasswordSHA256); {
		case !readerName.MatchString(r.Name):
			errs = append(errs, fmt.Errorf("reader %d: its name is not small letters, digits, - and _", i+1))
		case seen[r.Name]:
			errs = append(errs, fmt.Errorf("reader %d: the name is taken", i+1))
		case r.Tenant == "" || len(r.Tenant) > maxTenantBytes || strings.ContainsFunc(r.Tenant, func(c rune) bool { return c < ' ' }):
			errs = append(errs, fmt.Errorf("reader %d: no tenant", i+1))
		case err != nil || len(hash) != 0 && len(hash) != sha256.Size:
			errs = append(errs, fmt.Errorf("reader %d: password_sha256 is not 64 hexadecimal digits", i+1))
		}
		seen[r.Name] = true
	}
	return errors.Join(errs...)
}

func newPassword() string { return rand.Text() + rand.Text() }

// send writes the users as the first line of a child's stdin.
func (u Users) send(child io.Writer) error {
	line, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("encode the engine's users: %w", err)
	}
	if _, err := child.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("send the engine its users: %w", err)
	}
	return nil
}

// receiveUsers reads what send wrote.
func receiveUsers(stdin io.Reader) (Users, error) {
	var u Users
	line, err := bufio.NewReader(io.LimitReader(stdin, maxUsersBytes)).ReadBytes('\n')
	if err != nil {
		return u, fmt.Errorf("read the engine's users from stdin: %w", err)
	}
	if json.Unmarshal(line, &u) != nil { // the error may quote a password
		return u, errors.New("the engine's users on stdin are malformed")
	}
	return u, u.Check()
}

// authenticate finds who sends a request; a nil reader is the writer. As in ClickHouse
// the name and password stand in headers, in basic authentication or in the URL.
func (u Users) authenticate(r *http.Request) (*Reader, error) {
	name, password := r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	if name == "" && password == "" {
		name, password, _ = r.BasicAuth()
	}
	if query := r.URL.Query(); name == "" && password == "" {
		name, password = query.Get("user"), query.Get("password")
	}
	given := name != "" || password != ""
	name = first(name, "default")
	hash := sha256.Sum256([]byte(password))
	for i, reader := range u.Readers {
		if reader.Name != name {
			continue
		}
		want, err := hex.DecodeString(reader.PasswordSHA256)
		if err == nil && (len(want) == 0 || subtle.ConstantTimeCompare(want, hash[:]) == 1) {
			return &u.Readers[i], nil
		}
		return nil, wrongPassword(name)
	}
	writer := sha256.Sum256([]byte(u.WriterPassword))
	if u.WriterPassword == "" || name == Writer && subtle.ConstantTimeCompare(writer[:], hash[:]) == 1 {
		return nil, nil
	}
	if !given {
		return nil, refuse(codeRequiredPassword, "%s: Authentication failed: a user and a password are required", name)
	}
	return nil, wrongPassword(name)
}

func wrongPassword(name string) error {
	if !readerName.MatchString(name) {
		name = "user"
	}
	return refuse(codeAuthentication, "%s: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)", name)
}
