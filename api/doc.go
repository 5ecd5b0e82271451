// Package api is the ledger over HTTP: requests in, reads out, administration; OpenAPI
// at /openapi.json and a page over it at /docs.
//
// Promises: every refusal is a problem+json (RFC 9457) with a stable code
// (docs/errors.md) and the place of every broken rule, and never repeats what was sent;
// another tenant's notification is returned exactly like an absent one; nothing that was
// sent is logged but the id of a notification. An accepted request (202) is durable.
//
// Who may call: every path under /v1 needs an API key. A tenant's key works for its
// tenant; the local admin key names one by the header Recapito-Tenant, and alone manages
// keys and projections.
//
// May import commands, domain and readmodels, chi and huma. Its tests run over the
// embedded event log and key store.
package api
