// An SMSC or an ESME made of the npm package smpp: an independent peer for the tests
// that `make test-peers` runs. Usage: node peer.js server | client <port>
const smpp = require('smpp');

const say = (o) => process.stdout.write(JSON.stringify(o) + '\n');
const plain = (m) => (m && m.message !== undefined ? m.message : m);

function server() {
  let next = 0xabc0;
  let taken = 0;
  const s = smpp.createServer({}, (session) => {
    session.on('error', () => {});
    session.on('bind_transceiver', (pdu) => session.send(pdu.response({ system_id: 'npm' })));
    session.on('unbind', (pdu) => { say({ unbind: true, taken }); session.send(pdu.response()); session.close(); });
    session.on('enquire_link', (pdu) => session.send(pdu.response()));
    session.on('submit_sm', (pdu) => {
      const id = (next++).toString(16);
      const text = plain(pdu.short_message);
      say({ id, text, udh: (pdu.short_message.udh || []).map((b) => b.toString('hex')), coding: pdu.data_coding, to: pdu.destination_addr, from: pdu.source_addr, esm: pdu.esm_class });
      session.send(pdu.response({ message_id: id }));
      session.deliver_sm({
        source_addr_ton: 1, source_addr_npi: 1, source_addr: pdu.destination_addr,
        destination_addr: pdu.source_addr, esm_class: 4,
        short_message: `id:${id} sub:001 dlvrd:001 submit date:2612010929 done date:2612010930 stat:DELIVRD err:000 text:`,
        receipted_message_id: id, message_state: 2,
      }, (a) => { if (a.command_status === 0) taken++; });
    });
  });
  s.listen(0, '127.0.0.1', () => say({ port: s.address().port }));
}

function client(port) {
  const session = smpp.connect({ url: `smpp://127.0.0.1:${port}` });
  session.on('error', (e) => { say({ error: String(e.code) }); process.exit(1); });
  session.on('deliver_sm', (pdu) => {
    say({ receipt: pdu.receipted_message_id, state: pdu.message_state, esm: pdu.esm_class, text: plain(pdu.short_message), from: pdu.source_addr });
    session.send(pdu.response());
    session.unbind(() => { session.close(); process.exit(0); });
  });
  session.bind_transceiver({ system_id: 'us', password: 'secret' }, (b) => {
    say({ bound: b.command_status, system: b.system_id });
    session.submit_sm({ source_addr_ton: 5, source_addr: 'Recapito', dest_addr_ton: 1, destination_addr: '393330000001', registered_delivery: 1, short_message: 'perché €' },
      (a) => say({ status: a.command_status, id: a.message_id }));
  });
}

if (process.argv[2] === 'server') server(); else client(Number(process.argv[3]));
