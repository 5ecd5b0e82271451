// An HTTP service made of the npm packages express and standardwebhooks: an independent
// peer of the channel rest. It verifies each request's signature, responds with an id, and
// calls back: delivered, and for a body that asks for it a reply. It prints one line of
// JSON for its port and for each request and callback. Configuration comes as JSON in the
// variable RECEIVER: {secret, callbackSecret}.
const express = require('express');
const { Webhook } = require('standardwebhooks');

const { secret, callbackSecret } = JSON.parse(process.env.RECEIVER);
const print = (o) => process.stdout.write(JSON.stringify(o) + '\n');
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const verifier = new Webhook(secret);
const signer = new Webhook(callbackSecret);
let next = 0;
let calls = 0;

// call calls back until the response is 2xx, as a service does.
async function call(url, report) {
  const body = JSON.stringify(report);
  const id = `callback-${++calls}`;
  for (let tries = 1; tries <= 200; tries++) {
    try {
      const at = new Date();
      const res = await fetch(url, {
        method: 'POST', body,
        headers: {
          'content-type': 'application/json', 'webhook-id': id,
          'webhook-timestamp': String(Math.floor(at.getTime() / 1000)), 'webhook-signature': signer.sign(id, at, body),
        },
      });
      await res.arrayBuffer();
      if (res.ok) return print({ callback: report.status || 'reply', status: res.status, tries });
      if (res.status < 500) return print({ callback: report.status || 'reply', status: res.status, tries });
    } catch (e) { /* the ledger is not there yet */ }
    await wait(100);
  }
  print({ callback: report.status || 'reply', status: 0 });
}

const app = express();
app.disable('x-powered-by');
app.use(express.raw({ type: () => true, limit: '2mb' }));

app.post('/messages', (req, res) => {
  const raw = req.body.toString('utf8');
  let signature = 'verified';
  try {
    verifier.verify(raw, req.headers);
  } catch (e) {
    signature = String(e.message);
  }
  let message = {};
  try { message = JSON.parse(raw); } catch (e) { /* printed as it is */ }
  const id = `npm-${++next}`;
  print({ message: id, signature, id: req.headers['webhook-id'], to: message.to, text: message.text });
  if (signature !== 'verified') return res.status(401).json({ error: { code: 'signature' } });
  res.status(202).json({ message: { id } });
  if (!message.callback) return undefined;
  const occurredAt = new Date().toISOString();
  return (async () => {
    await call(message.callback, { id, reference: message.reference, status: 'delivered', to: message.to, at: occurredAt });
    if (/\?\s*$/.test(message.text || '')) {
      await call(message.callback, { id, reference: message.reference, reply: { id: `reply-${id}`, text: 'Sì, grazie' }, at: occurredAt });
    }
  })();
});

const server = app.listen(0, '127.0.0.1', () => print({ port: server.address().port }));
