// opjournal from Node: journals and namespaces over the C ABI, through koffi.
//
// The declarations are read from include/opjournal.h itself. The event loop is never blocked: what waits for the store goes through the
// library's queue of completions, which one thread of libuv's pool reads for all journals, and only while something is on its way.

import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import koffi from 'koffi';

const HEADER = new URL('../../include/opjournal.h', import.meta.url);
const NAME = process.platform === 'darwin' ? 'libopjournal.0.dylib' : 'libopjournal.so.0';
const QUEUE_SLOTS = 1024;
const AT_ONCE = 64;

/** A call that failed. `outcome` is "none" (nothing was written, nor ever will be) or "unknown" (settle it before you repeat it). */
export class OpjournalError extends Error {
  constructor(code, answer) {
    const { message = 'the call failed', outcome = 'none', retryable = false, code: name = code, ...details } = answer ? parse(answer) : {};
    super(message);
    // details: whatever else names the place: op, field, segment, object, ...
    Object.assign(this, { name: 'OpjournalError', code: name, outcome, retryable, details });
  }
}

/** The shared library, loaded, and the queue that its journals share. */
export class Library {
  #pending = new Map(); // tag -> { resolve, reject }
  #tag = 0n; // 0 is the tag of log records
  #queue = 0n;
  #journals = 0;
  #reading = null;

  /** Loads `path`; without it what OPJOURNAL_LIBRARY names, or else what the system's loader finds. */
  constructor(path = process.env.OPJOURNAL_LIBRARY || NAME, header = HEADER) {
    const { constants, functions } = declare(readFileSync(header, 'utf8'));
    this.constants = constants;
    let library, has;
    try {
      library = koffi.load(path);
      has = library.func('uint32_t opjournal_abi_version(void)')();
    } catch (error) {
      throw new Error(`the opjournal library cannot be loaded: ${path}: ${error.message}; OPJOURNAL_LIBRARY may name its place`, { cause: error });
    }
    const needs = constants.OPJOURNAL_ABI_VERSION;
    if (has < needs) throw new Error(`${path} has ABI version ${has}, this program needs at least ${needs}`);
    this.c = Object.fromEntries(functions.map(({ name, prototype }) => [name, library.func(prototype)]));
  }

  /** Calls a function whose last parameter is `result`, and which never waits. Gives what it answers, or throws. */
  call(name, ...args) {
    const buffer = new Memory('opjournal_buffer');
    try {
      return this.answer(this.c[name](...args, buffer.at), buffer.at);
    } finally {
      buffer.free();
    }
  }

  /** The same on a thread of the pool, for functions that block. */
  async callOnThread(name, ...args) {
    const buffer = new Memory('opjournal_buffer');
    try {
      return this.answer(await promisify(this.c[name].async)(...args, buffer.at), buffer.at);
    } finally {
      buffer.free();
    }
  }

  /** Takes the text out of a buffer and gives the buffer back. Throws unless the status is OK. */
  answer(status, buffer) {
    const { data, len } = koffi.decode(buffer, 'opjournal_buffer');
    const text = data === null ? '' : koffi.decode.string(data, len);
    this.c.opjournal_buffer_free(buffer);
    if (status !== this.constants.OPJOURNAL_OK) throw new OpjournalError(this.c.opjournal_status_name(status), text);
    return text;
  }

  /** An asynchronous call of the ABI: a promise that its completion settles. Accepted means exactly one, so none is forgotten. */
  submit(name, handle, ...args) {
    const tag = ++this.#tag;
    return new Promise((resolve, reject) => {
      this.#pending.set(tag, { resolve, reject });
      try {
        this.call(name, handle, this.#queue, tag, ...args);
      } catch (error) {
        this.#pending.delete(tag); // refused, so no completion will come
        throw error;
      }
      this.#reading ??= this.#read();
    });
  }

  /** Reads completions while any are owed, so that a program that has nothing else to do may end. */
  async #read() {
    const { constants } = this;
    const wait = promisify(this.c.opjournal_queue_wait.async);
    const completions = new Memory('opjournal_completion', AT_ONCE);
    const count = new Memory('size_t');
    while (this.#pending.size > 0) {
      const status = await wait(this.#queue, completions.at, AT_ONCE, constants.OPJOURNAL_TIMEOUT_NEVER, count.at);
      if (status !== constants.OPJOURNAL_OK) break;
      for (let i = 0; i < koffi.decode(count.at, 'size_t'); i++) this.#complete(completions.item(i));
    }
    completions.free();
    count.free();
    this.#reading = null;
  }

  #complete(completion) {
    const { tag, status } = koffi.decode(completion, 'opjournal_completion');
    const waiting = this.#pending.get(BigInt(tag));
    this.#pending.delete(BigInt(tag));
    try {
      const text = this.answer(status, completion + BigInt(koffi.offsetof('opjournal_completion', 'result')));
      waiting?.resolve(parse(text)); // kinds that this file does not know have nobody who waits
    } catch (error) {
      waiting?.reject(error);
    }
  }

  /** One more journal is open: the queue lives as long as any. */
  hold() {
    if (this.#queue === 0n) {
      const out = new Memory('uint64_t');
      this.call('opjournal_queue_open', QUEUE_SLOTS, out.at);
      this.#queue = BigInt(koffi.decode(out.at, 'uint64_t'));
      out.free();
    }
    this.#journals++;
  }

  async release() {
    this.#journals--;
    await this.#reading;
    if (this.#journals > 0 || this.#queue === 0n) return;
    this.c.opjournal_queue_close(this.#queue);
    this.#queue = 0n;
  }
}

/** An open journal: a replica of its own. Close it in a `finally`. */
export class Journal {
  #closed = false;
  namespaces = new Set(); // the handles that are open

  constructor(library, handle) {
    Object.assign(this, { library, handle });
  }

  static async open(library, config) {
    library.hold();
    const out = new Memory('uint64_t');
    try {
      await library.callOnThread('opjournal_open', ...text(config), out.at);
      return new Journal(library, BigInt(koffi.decode(out.at, 'uint64_t')));
    } catch (error) {
      await library.release();
      throw error;
    } finally {
      out.free();
    }
  }

  async namespace(name, timeout) {
    const { library, handle } = this;
    const answer = await library.submit('opjournal_namespace_open_async', handle, ...bytes(name), milliseconds(library, timeout));
    const opened = BigInt(answer.namespace);
    this.namespaces.add(opened);
    return new Namespace(this, opened);
  }

  /** Waits for the writes that are on their way. It is closed in any case; rejects where the outcome of some stays unknown. */
  async close(timeout) {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.library.submit('opjournal_close_async', this.handle, milliseconds(this.library, timeout));
    } finally {
      await this.library.release();
      // A handle keeps the memory of its namespace until it is closed, also after its journal.
      for (const namespace of this.namespaces) this.library.c.opjournal_namespace_close(namespace);
      this.namespaces.clear();
    }
  }
}

/** A handle on one namespace. Timeouts are milliseconds; without one it is what the header says for each call. */
export class Namespace {
  constructor(journal, handle) {
    Object.assign(this, { journal, library: journal.library, handle });
  }

  /** Writes ops as one atomic batch, with the blocking call on a thread of the pool. Resolves with the segment once it is durable. */
  async apply(ops, timeout) {
    return parse(await this.library.callOnThread('opjournal_apply', this.handle, ...text(ops), milliseconds(this.library, timeout))).segment;
  }

  /** The same through the queue: any number may be on their way, and take no threads. What to use in a server. */
  async submit(ops, timeout) {
    return (await this.library.submit('opjournal_apply_async', this.handle, ...text(ops), milliseconds(this.library, timeout))).segment;
  }

  /** What the state in memory answers, at once; an array of queries is answered from one state. Integers beyond 2^53 are BigInt. */
  query(query) {
    return parse(this.library.call('opjournal_query', this.handle, ...text(query)));
  }

  /** Waits until all that was acknowledged anywhere before this call is visible here. */
  async flush(timeout) {
    await this.library.submit('opjournal_flush_async', this.handle, milliseconds(this.library, timeout));
  }

  /** Gives the handle up. Writes that were accepted finish. The journal's close does this too. */
  close() {
    this.journal.namespaces.delete(this.handle);
    this.library.c.opjournal_namespace_close(this.handle);
  }
}

/** Memory outside of JavaScript's, for what C keeps pointers to while a call is under way. */
class Memory {
  constructor(type, count = 1) {
    this.size = koffi.sizeof(type);
    this.at = koffi.alloc(type, count);
    if (type === 'opjournal_buffer') koffi.encode(this.at, type, { data: null, len: 0, capacity: 0 }); // all others are output only
  }
  item(i) {
    return this.at + BigInt(i * this.size);
  }
  free() {
    koffi.free(this.at);
  }
}

let declared;
/** Makes koffi's types and prototypes of the header. koffi knows types by their names, so this is done once. */
function declare(header) {
  if (declared) return declared;
  const code = header
    .replace(/\/\*[^]*?\*\//g, '')
    .replace(/^#ifdef __cplusplus[^]*?^#endif.*$/gm, '')
    .replace(/\s+(?=[^\n]*\S)/g, (space) => (space.includes('\n') ? '\n' : ' '));
  const constants = { OPJOURNAL_TIMEOUT_DEFAULT: -(2n ** 63n) };
  for (const [, name, value] of code.matchAll(/^#define (\w+) (-?\d+)$/gm)) constants[name] = Number(value);
  for (const [, type, name] of code.matchAll(/^typedef (\w+) (\w+);$/gm)) koffi.alias(name, type);
  for (const [, name, body] of code.matchAll(/^typedef struct (\w+) \{([^}]*)\}/gm)) {
    const members = [...body.matchAll(/(?:struct )?(\w+) (\*?)(\w+)(?:\[(\d+)\])?;/g)];
    // A text has a length, so it is no string that ends at its NUL.
    koffi.struct(name, Object.fromEntries(members.map(([, type, star, member, n]) => [member, star ? 'void *' : n ? koffi.array(type, Number(n)) : type])));
  }
  const functions = [...code.matchAll(/^((?:const )?\w+ \*?(opjournal_\w+)\([^;{]*\));$/gm)]
    .map(([, prototype, name]) => ({ name, prototype: prototype.replace(/struct /g, '').replace(/\s+/g, ' ') }))
    .filter(({ name }) => name !== 'opjournal_log_to'); // a callback on any thread; opjournal_log_to_queue needs none
  return (declared = { constants, functions });
}

function milliseconds(library, timeout) {
  return timeout === undefined ? library.constants.OPJOURNAL_TIMEOUT_DEFAULT : BigInt(Math.max(0, Math.round(timeout)));
}

/** A text as the two arguments that C takes: pointer and length in bytes of UTF-8. */
function bytes(string) {
  return [string, Buffer.byteLength(string)];
}

function text(value) {
  return bytes(stringify(value));
}

/** JSON with integers as they are: BigInt goes out whole, and a number that lost digits already is refused. */
export function stringify(value) {
  if (typeof value === 'bigint') return String(value);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) throw new RangeError(`${value} is not exact: use a BigInt`);
  if (Array.isArray(value)) return `[${value.map(stringify).join()}]`;
  if (value === null || typeof value !== 'object' || value.toJSON) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${stringify(member)}`).join()}}`;
}

/** The way back: integers that a number cannot hold become BigInt. They and all strings are marked in the text, and the marks taken off. */
export function parse(json) {
  const marked = json.replace(/"((?:[^"\\]|\\.)*)"(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g, (token, string, colon) => {
    if (string !== undefined) return colon ? token : `"s${string}"`;
    return /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"i${token}"` : token;
  });
  return JSON.parse(marked, (_, value) => (typeof value !== 'string' ? value : value[0] === 'i' ? BigInt(value.slice(1)) : value.slice(1)));
}
