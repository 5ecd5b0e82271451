// Package intake accepts requests, whichever listener they come from: it checks them,
// finds the person and appends the first event. Its errors name the member and the rule,
// never a value.
//
// Promise: when Submit returns, the request and its person's key are durable.
package intake
