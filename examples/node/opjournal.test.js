// What the tour does not show of the wrapper: node --test
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { Journal, Library, parse, stringify } from './opjournal.js';

const library = new Library();

async function withNamespace(config, use) {
  const journal = await Journal.open(library, { store: `memory:${randomUUID()}`, ...config });
  try {
    await use(await journal.namespace('test'), journal);
  } finally {
    await journal.close();
  }
}

const add = { op: 'IntAdd', Key: 'n', Delta: 1 };
const get = { op: 'IntGet', Key: 'n' };
const turnOfTheLoop = () => new Promise((resolve) => setImmediate(resolve, 'the loop turned'));

for (const way of ['apply', 'submit']) {
  test(`the event loop turns while ${way} waits`, () =>
    // The second segment may not begin before an hour is over, so that write certainly waits until the close gives it up.
    withNamespace({ commit_interval_ms: 3_600_000 }, async (namespace, journal) => {
      await namespace.submit(add);
      const write = namespace[way](add);
      write.catch(() => {}); // looked at below
      assert.equal(await Promise.race([write, turnOfTheLoop()]), 'the loop turned');
      await journal.close(0);
      await assert.rejects(write, { code: 'CLOSED', outcome: 'none' });
    }));
}

test('what is refused takes no completion', () =>
  withNamespace({}, async (namespace) => {
    await assert.rejects(namespace.submit({ op: 'IntAd', Key: 'n', Delta: 1 }), { code: 'INVALID', outcome: 'none', retryable: false });
    await namespace.submit(add);
    assert.equal(namespace.query(get), 1);
  }));

test('a name is not cut at a NUL', () =>
  withNamespace({}, async (_, journal) => {
    await assert.rejects(journal.namespace('test\0'), { code: 'INVALID' });
    await assert.rejects(journal.namespace('tést'), { code: 'INVALID' });
    (await journal.namespace('')).close(); // the root namespace
  }));

test('a journal takes its namespaces along', async () => {
  // A store in memory is gone with all that holds it, so a second one of that name is empty.
  const store = `memory:${randomUUID()}`;
  for (let i = 0; i < 2; i++) {
    await withNamespace({ store }, async (namespace) => {
      assert.equal(namespace.query(get), 0);
      await namespace.submit(add);
    });
  }
});

test('journals share one queue, and a later one gets another', async () => {
  await Promise.all(
    [1, 2, 3].map(() =>
      withNamespace({}, async (namespace) => {
        await Promise.all(Array.from({ length: 100 }, () => namespace.submit(add)));
        assert.equal(namespace.query(get), 100);
      }),
    ),
  );
  await withNamespace({}, (namespace) => namespace.flush());
});

test('closing twice is fine, and use after that is an error', () =>
  withNamespace({}, async (namespace, journal) => {
    await journal.close();
    await journal.close();
    assert.throws(() => namespace.query(get), { code: 'CLOSED' });
    await assert.rejects(namespace.apply(add), { code: 'CLOSED' });
  }));

test('integers keep all their digits', () =>
  withNamespace({}, async (namespace) => {
    for (const value of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n]) {
      await namespace.submit({ op: 'IntSet', Key: 'n', Value: value });
      assert.equal(namespace.query(get), value);
    }
    assert.equal(stringify({ a: [1n, '1', null], b: undefined }), '{"a":[1,"1",null]}');
    assert.throws(() => stringify(2 ** 53), RangeError);
    const text = '{"i9007199254740993":["i9007199254740993",9007199254740993,1.5,-0.25e3,"a\\"9007199254740993",{"s":"s"}]}';
    assert.deepEqual(parse(text), { i9007199254740993: ['i9007199254740993', 9007199254740993n, 1.5, -250, 'a"9007199254740993', { s: 's' }] });
  }));
