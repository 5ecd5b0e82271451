// EventStoreDB's client for Node.js against a server: what the tests that
// `make test-peers` runs want to know. Usage: node client.js <connection string>
const assert = require('node:assert/strict');
const {
  EventStoreDBClient, jsonEvent, binaryEvent, excludeSystemEvents, eventTypeFilter, streamNameFilter,
  persistentSubscriptionToStreamSettingsFromDefaults, persistentSubscriptionToAllSettingsFromDefaults,
  START, END, FORWARDS, BACKWARDS, NO_STREAM, STREAM_EXISTS, PARK, RETRY, SKIP, STOP, PINNED, PINNED_BY_CORRELATION,
  WrongExpectedVersionError, StreamNotFoundError, PersistentSubscriptionExistsError,
  PersistentSubscriptionDoesNotExistError, PersistentSubscriptionMaximumSubscribersReachedError,
} = require('@eventstore/db-client');

const client = EventStoreDBClient.connectionString(process.argv[2]);
const patience = 20_000;

const event = (n, type = 'made') => jsonEvent({ type, data: { n }, metadata: { $correlationId: `c${n % 2}` } });

// heard are the first events of a stream of them that match, in order.
async function heard(source, count, matches = () => true) {
  const got = [];
  const timer = setTimeout(() => source.destroy(new Error(`only ${got.length} of ${count} events came`)), patience);
  for await (const resolved of source.iterator({ destroyOnReturn: false })) {
    if (matches(resolved)) got.push(resolved);
    if (got.length === count) break;
  }
  clearTimeout(timer);
  return got;
}

const numbers = (events) => events.map(({ event: e }) => e.data.n);

async function eventually(what, holds) {
  for (const end = Date.now() + patience; ; await new Promise((r) => setTimeout(r, 10))) {
    const last = await holds();
    if (last === true) return;
    if (Date.now() > end) throw new Error(`${what}: ${JSON.stringify(last, (_, v) => (typeof v === 'bigint' ? `${v}` : v))}`);
  }
}

async function appends() {
  const first = await client.appendToStream('node-1', [event(0), event(1), event(2)], { expectedRevision: NO_STREAM });
  assert.equal(first.success, true);
  assert.equal(first.nextExpectedRevision, 2n);
  await assert.rejects(client.appendToStream('node-1', event(9), { expectedRevision: 0n }), (err) => {
    assert.ok(err instanceof WrongExpectedVersionError, err);
    assert.equal(err.actualVersion, 2n);
    return true;
  });
  await client.appendToStream('node-1', binaryEvent({ type: 'raw', data: Buffer.from([1, 2, 255]) }), { expectedRevision: STREAM_EXISTS });
  // Without the call for batches.
  await client.appendToStream('node-1', event(4), { expectedRevision: 3n, credentials: { username: 'admin', password: 'changeit' } });
  await client.setStreamMetadata('node-2', { maxCount: 10, owner: 'us' });
}

async function reads() {
  const forwards = await heard(client.readStream('node-1', { direction: FORWARDS, fromRevision: START }), 5);
  assert.deepEqual(forwards.map(({ event: e }) => e.type), ['made', 'made', 'made', 'raw', 'made']);
  assert.deepEqual([...forwards[3].event.data], [1, 2, 255]);
  assert.ok(Math.abs(Date.now() - forwards[0].event.created) < 60_000);
  const backwards = await heard(client.readStream('node-1', { direction: BACKWARDS, fromRevision: END, maxCount: 1 }), 1);
  assert.deepEqual(numbers(backwards), [4]);
  const all = await heard(client.readAll({ direction: FORWARDS, fromPosition: START }), 5, ({ event: e }) => e.streamId === 'node-1');
  assert.ok(all[4].event.position.commit > all[0].event.position.commit);
  await assert.rejects(heard(client.readStream('nothing'), 1), StreamNotFoundError);
  assert.equal((await client.getStreamMetadata('node-2')).metadata.owner, 'us');
}

async function subscribes() {
  const stream = client.subscribeToStream('node-1', { fromRevision: 3n });
  const all = client.subscribeToAll({ filter: excludeSystemEvents(), fromPosition: START });
  const typed = client.subscribeToAll({ filter: eventTypeFilter({ regex: '^(?!made)ma' }), fromPosition: START });
  await client.appendToStream('node-1', [event(5), event(6, 'marked')]);
  assert.deepEqual(numbers(await heard(stream, 3)), [4, 5, 6]);
  const seen = await heard(all, 7);
  assert.ok(seen.every(({ event: e }) => !e.type.startsWith('$')));
  assert.deepEqual(numbers(await heard(typed, 1)), [6]);
  await Promise.all([stream, all, typed].map((s) => s.unsubscribe()));
}

async function persistent() {
  const settings = persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: START, checkPointLowerBound: 1, checkPointUpperBound: 1, maxSubscriberCount: 1 });
  await client.createPersistentSubscriptionToStream('node-1', 'group', settings);
  await assert.rejects(client.createPersistentSubscriptionToStream('node-1', 'group', settings), PersistentSubscriptionExistsError);
  const group = client.subscribeToPersistentSubscriptionToStream('node-1', 'group', { bufferSize: 10 });
  const got = await heard(group, 7);
  assert.deepEqual(got.map(({ event: e }) => e.revision), [0n, 1n, 2n, 3n, 4n, 5n, 6n]);
  assert.equal(got[0].retryCount, 0);
  const more = client.subscribeToPersistentSubscriptionToStream('node-1', 'group');
  await assert.rejects(heard(more, 1), PersistentSubscriptionMaximumSubscribersReachedError);
  await group.nack(PARK, 'not now', got[1], got[2]);
  await group.nack(RETRY, 'once more', got[3]);
  const [again] = await heard(group, 1);
  assert.equal(again.event.revision, 3n);
  assert.equal(again.retryCount, 1);
  await group.nack(SKIP, 'never', again);
  await group.ack(got[0], ...got.slice(4));
  const info = () => client.getPersistentSubscriptionToStreamInfo('node-1', 'group');
  await eventually('two are parked, the rest is done with', async () => {
    const { stats, connections, status } = await info();
    return (stats.parkedMessageCount === 2n && stats.lastCheckpointedEventRevision === 6n && connections.length === 1 && status === 'Live') || stats;
  });
  await client.replayParkedMessagesToStream('node-1', 'group');
  const replayed = await heard(group, 2);
  assert.deepEqual(numbers(replayed), [1, 2]);
  assert.equal(replayed[0].link.streamId, '$persistentsubscription-node-1::group-parked');
  await group.ack(...replayed);
  await eventually('none is parked', async () => {
    const { stats } = await info();
    return (stats.parkedMessageCount === 0n && stats.totalInFlightMessages === 0) || stats;
  });
  await group.unsubscribe();
  await client.updatePersistentSubscriptionToStream('node-1', 'group', { ...settings, consumerStrategyName: PINNED, resolveLinkTos: true });
  const updated = await info();
  assert.equal(updated.settings.consumerStrategyName, PINNED);
  assert.equal(updated.settings.resolveLinkTos, true);
  assert.equal(updated.stats.lastCheckpointedEventRevision, 6n);
  const resumed = client.subscribeToPersistentSubscriptionToStream('node-1', 'group');
  await client.appendToStream('node-1', event(7));
  const [next] = await heard(resumed, 1);
  assert.equal(next.event.data.n, 7);
  await resumed.ack(next);
  await resumed.unsubscribe();
}

async function persistentToAll() {
  const settings = persistentSubscriptionToAllSettingsFromDefaults({ startFrom: START, consumerStrategyName: PINNED_BY_CORRELATION });
  await client.createPersistentSubscriptionToAll('group', settings, { filter: streamNameFilter({ prefixes: ['node-', 'knot-'] }) });
  const two = [1, 2].map(() => client.subscribeToPersistentSubscriptionToAll('group', { bufferSize: 20 }));
  const got = [];
  await new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`${got.length} of 8 came`)), patience).unref();
    two.forEach((consumer, i) => consumer.on('error', reject).on('data', (e) => {
      got.push({ i, e });
      consumer.ack(e).catch(reject);
      if (got.length === 8) resolve();
    }));
  });
  const of = {};
  for (const { i, e } of got.filter(({ e: { event: made } }) => made.isJson)) {
    assert.equal(of[e.event.metadata.$correlationId] ??= i, i, 'one correlation went to two consumers');
  }
  const listed = await client.listAllPersistentSubscriptions();
  assert.deepEqual(listed.map(({ eventSource, groupName }) => `${eventSource} ${groupName}`), ['$all group', 'node-1 group']);
  await two[0].nack(STOP, 'enough', got[0].e);
  await Promise.all(two.map((c) => c.unsubscribe()));
  await client.restartPersistentSubscriptionSubsystem();
  await client.deletePersistentSubscriptionToAll('group');
  await client.deletePersistentSubscriptionToStream('node-1', 'group');
  await assert.rejects(client.getPersistentSubscriptionToAllInfo('group'), PersistentSubscriptionDoesNotExistError);
}

async function main() {
  for (const step of [appends, reads, subscribes, persistent, persistentToAll]) {
    await step();
    console.log(step.name);
  }
  await client.dispose();
}

main().catch((err) => {
  console.error(err);
  process.exit(1);
});
