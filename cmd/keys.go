package cmd

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make a key; it is printed once, alone on a line."`
	List   keysListCmd   `cmd:"" help:"List a tenant's keys."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke a key: it opens nothing any more."`
}

type keysCreateCmd struct {
	instanceFlag
	Label string `help:"What the key is for."`
}

// Run prints the key alone on stdout.
func (k keysCreateCmd) Run(ctx context.Context, t terminal) error {
	c, err := k.client()
	if err != nil {
		return err
	}
	body := map[string]string{}
	if k.Label != "" {
		body["label"] = k.Label
	}
	var made struct {
		ID  string `json:"id"`
		Key string `json:"key"`
	}
	if err := c.call(ctx, http.MethodPost, "/v1/keys", body, &made); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(t.err, "key %s of tenant %s; it is not shown again\n", made.ID, k.Tenant)
	_, _ = fmt.Fprintln(t.out, made.Key)
	return nil
}

type keysListCmd struct{ instanceFlag }

// Run prints the keys as a table.
func (k keysListCmd) Run(ctx context.Context, t terminal) error {
	c, err := k.client()
	if err != nil {
		return err
	}
	var list struct {
		Keys []struct {
			ID        string    `json:"id"`
			Label     string    `json:"label"`
			CreatedAt time.Time `json:"created_at"`
			RevokedAt time.Time `json:"revoked_at"`
		} `json:"keys"`
	}
	if err := c.call(ctx, http.MethodGet, "/v1/keys", nil, &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tCREATED\tREVOKED\tLABEL")
	for _, key := range list.Keys {
		revoked := "-"
		if !key.RevokedAt.IsZero() {
			revoked = key.RevokedAt.UTC().Format(time.RFC3339)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", key.ID, key.CreatedAt.UTC().Format(time.RFC3339), revoked, key.Label)
	}
	return w.Flush()
}

type keysRevokeCmd struct {
	instanceFlag
	ID string `arg:"" help:"The key's id, as keys list shows it."`
}

// Run revokes the key.
func (k keysRevokeCmd) Run(ctx context.Context, t terminal) error {
	c, err := k.client()
	if err != nil {
		return err
	}
	if err := c.call(ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(k.ID), nil, nil); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(t.out, "key %s is revoked\n", k.ID)
	return nil
}
