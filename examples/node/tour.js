#!/usr/bin/env node
// tour: a counter, a map, a set, a list, a scalar and an atomic batch, written, read back and digested.
//
//     node tour.js file:///tmp/journal         writes, then reads
//     node tour.js file:///tmp/journal read    reads only
//
// The same program stands beside this one in other languages; all print the same.

import { Journal, Library, OpjournalError } from './opjournal.js';

async function write(namespace) {
  // One write with the blocking call, on a thread of the pool.
  await namespace.apply({ op: 'ScalarSet', Key: 'greeting', Value: 'Grüße, 世界 👋' });

  // Several on their way at once, each a batch of its own. They share requests to the store.
  await Promise.all([
    namespace.submit({ op: 'IntAdd', Key: 'total', Delta: 2n ** 53n + 1n }),
    namespace.submit({ op: 'MapSet', Key: 'prices', MapKey: 'tea', Value: 180 }),
    namespace.submit({ op: 'MapSet', Key: 'prices', MapKey: 'café', Value: 250 }),
    namespace.submit({ op: 'SetAdd', Key: 'seen', Member: 'tea' }),
    namespace.submit({ op: 'SetAdd', Key: 'seen', Member: 'nul\0inside' }),
  ]);

  // One batch over several names: every replica sees all of it or nothing.
  await namespace.submit([
    { op: 'IntAdd', Key: 'stock', Delta: -1 },
    { op: 'IntMapAdd', Key: 'sold', MapKey: 'tea', Delta: 1 },
    { op: 'ListAppend', Key: 'orders', Value: { what: 'tea', quantity: 1 } },
  ]);

  // A batch with a mistake in its second op is refused whole.
  try {
    await namespace.submit([
      { op: 'IntAdd', Key: 'stock', Delta: 1 },
      { op: 'IntAdd', Key: 'stock', Delta: 'one' },
    ]);
  } catch (error) {
    if (!(error instanceof OpjournalError)) throw error;
    const { code, outcome, message, details } = error;
    console.log(`refused: ${code} at op ${details.op}, field ${details.field}; outcome ${outcome}, retryable ${error.retryable ? 'yes' : 'no'}`);
    console.log(`message: ${message}`);
  }
}

async function read(namespace) {
  await namespace.flush();
  // Several queries in one are answered from one state.
  const [greeting, total, stock, prices, seen, nul, orders, digest] = namespace.query([
    { op: 'ScalarGet', Key: 'greeting' },
    { op: 'IntGet', Key: 'total' },
    { op: 'IntGet', Key: 'stock' },
    { op: 'MapEntries', Key: 'prices' },
    { op: 'SetLen', Key: 'seen' },
    { op: 'SetContains', Key: 'seen', Member: 'nul\0inside' },
    { op: 'ListEntries', Key: 'orders' },
    { op: 'Digest' },
  ]);
  console.log(`greeting: ${greeting.value ?? 'none'}`);
  console.log(`total: ${total}`);
  console.log(`stock: ${stock}`);
  console.log(`prices: ${prices.map(([name, price]) => `${name} ${price}`).join(', ')}`);
  console.log(`seen: ${seen} ${nul ? 'with' : 'without'} NUL`);
  console.log(`orders: ${orders.map(({ what, quantity }) => `${quantity} ${what}`).join(', ')}`);
  console.log(`digest: ${digest.sha256}`);
}

async function main([store, mode, ...rest]) {
  if (store === undefined || (mode !== undefined && mode !== 'read') || rest.length > 0) {
    console.error('usage: tour.js STORE-URL [read]');
    return 2;
  }
  try {
    const journal = await Journal.open(new Library(), { store, read_only: mode === 'read' });
    try {
      const namespace = await journal.namespace('tour');
      if (mode !== 'read') await write(namespace);
      await read(namespace);
      namespace.close();
    } finally {
      await journal.close();
    }
    return 0;
  } catch (error) {
    console.error(`tour: ${error instanceof OpjournalError ? `${error.code}: ` : ''}${error.message}`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
