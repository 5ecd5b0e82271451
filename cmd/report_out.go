package cmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"recapito/api/reports"
	"recapito/api/reports/export"
)

// download writes a report to a file, and its manifest next to it. Both get their names
// only when all has come and its hash is the manifest's.
func (c *client) download(ctx context.Context, t terminal, a asking, file string) (err error) {
	format := strings.TrimPrefix(filepath.Ext(file), ".")
	known := false
	for _, f := range export.Formats() {
		known = known || f.Name == format
	}
	if !known {
		return fmt.Errorf("--out %s: the name must end with .csv, .jsonl or .parquet", file)
	}
	a.query.Set("format", format)
	got, err := c.open(ctx, a)
	if err != nil {
		return hinted(err)
	}
	defer func() { _ = got.Body.Close() }()

	part, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".part-*")
	if err != nil {
		return fmt.Errorf("making the file: %w", err)
	}
	defer func() {
		_ = part.Close() // closed before if all went well
		if err != nil {
			err = errors.Join(err, os.Remove(part.Name()))
		}
	}()
	sum := sha256.New()
	bar := &fileProgress{bar: newProgress(t.err)}
	_, err = io.Copy(io.MultiWriter(part, sum, bar), got.Body)
	bar.bar.endFile(bar.bytes, err == nil)
	if err != nil {
		return fmt.Errorf("the file broke off after %s bytes and was not kept; try again: %w", thousands(bar.bytes), err)
	}
	var m export.Manifest
	text := got.Trailer.Get(reports.TrailerManifest)
	if text == "" || json.Unmarshal([]byte(text), &m) != nil {
		return errors.New("the file came without a manifest, so it may not be complete, and was not kept; try again")
	}
	if m.SHA256 != hex.EncodeToString(sum.Sum(nil)) || m.Bytes != bar.bytes {
		return errors.New("the file is not the one of its manifest and was not kept; try again")
	}
	if err := errors.Join(part.Sync(), part.Close()); err != nil {
		return fmt.Errorf("writing the file: %w", err)
	}
	if err := nameComplete(part.Name(), file, text); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(t.out, "%s: %s rows, %s bytes, sha256 %s\n", file, thousands(m.Rows), thousands(m.Bytes), m.SHA256)
	return nil
}

// nameComplete gives a complete file its name, and its manifest the name next to it. A
// manifest never stands next to another file than its own for want of a name.
func nameComplete(part, file, manifest string) error {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(manifest), "", "  "); err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	pretty.WriteByte('\n')
	temporary := part + ".manifest.json"
	err := os.WriteFile(temporary, pretty.Bytes(), 0o600)
	if err == nil {
		err = os.Rename(part, file)
	}
	if err == nil {
		err = os.Rename(temporary, file+".manifest.json")
	}
	if err != nil {
		_ = os.Remove(temporary) // it may not be there
		return fmt.Errorf("naming the file and its manifest: %w", err)
	}
	return nil
}

// open asks for an answer of any length.
func (c *client) open(ctx context.Context, a asking) (*http.Response, error) {
	var body io.Reader
	if a.body != nil {
		raw, err := json.Marshal(a.body)
		if err != nil {
			return nil, fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, a.method, c.base+a.path+"?"+a.query.Encode(), body)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Recapito-Tenant", c.tenant)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	var unhurried http.Client // the file may take longer than any other call
	got, err := unhurried.Do(r)
	if err != nil {
		return nil, fmt.Errorf("calling the instance: %w", err)
	}
	if got.StatusCode < http.StatusBadRequest {
		return got, nil
	}
	defer func() { _ = got.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(got.Body, maxResponseBytes))
	if err != nil {
		return nil, fmt.Errorf("reading the response: %w", err)
	}
	return nil, problemOf(got.StatusCode, raw)
}

// fileProgress counts what comes.
type fileProgress struct {
	bar   *progressBar
	bytes uint64
}

func (p *fileProgress) Write(b []byte) (int, error) {
	p.bytes += uint64(len(b))
	p.bar.showFile(p.bytes)
	return len(b), nil
}
