// Tests of one file's way to the server, against a server made of a few lines that breaks on purpose.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ApiError, type PartGrant, type ReceivedPart, type UploadStatus } from '../src/lib/api';
import type { PutAnswer } from '../src/lib/upload/put';
import { type Ports, Transfer } from '../src/lib/upload/transfer';

const PART = 10;
const bytes = Uint8Array.from({ length: 95 }, (_, index) => index);
const file = new File([bytes], 'a lecture.mp4', { lastModified: 1 });
const sha = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

class FakeServer {
  state: UploadStatus['state'] = 'open';
  received = new Map<number, ReceivedPart>();
  sent: number[] = [];
  begun = 0;
  remembered: string | undefined;
  waits = 0;
  troubles: (string | null)[] = [];
  /** Answers a PUT; undefined: take the part. */
  refuse: (number: number, attempt: number) => PutAnswer | undefined = () => undefined;
  #attempts = new Map<number, number>();

  ports(): Ports {
    return {
      begin: async () => {
        this.begun += 1;
        this.state = 'open';
        this.received.clear();
        return this.#upload();
      },
      status: async (upload) => {
        if (upload !== 'u1') throw new ApiError(404, 'not-found', 'no such upload');
        return { ...this.#upload(), title: 'a', filename: file.name, size_bytes: file.size, replaces: false, state: this.state, received: [...this.received.values()] };
      },
      grant: async (_upload, part) => ({ number: part.number, method: 'PUT', url: 's3:', headers: { sha: part.sha256 }, expires_at: 0 }),
      put: (grant, body) => this.#put(grant, body),
      finish: async () => {
        const missing = Array.from({ length: 10 }, (_, i) => i + 1).filter((n) => !this.received.has(n));
        if (missing.length > 0) throw new ApiError(409, 'parts-missing', 'parts are missing', missing);
        return { video: 'v1' };
      },
      hash: async (blob) => sha(new Uint8Array(await blob.arrayBuffer())),
      wait: async () => void (this.waits += 1),
      recall: () => this.remembered,
      remember: (upload) => void (this.remembered = upload),
      forget: () => void (this.remembered = undefined),
    };
  }

  transfer(): Transfer {
    return new Transfer(file, this.ports(), { progress: () => {}, troubled: (failure) => this.troubles.push(failure && failure.message) });
  }

  async #put(grant: PartGrant, body: Blob): Promise<PutAnswer> {
    const attempt = this.#attempts.get(grant.number) ?? 0;
    this.#attempts.set(grant.number, attempt + 1);
    this.sent.push(grant.number);
    const refusal = this.refuse(grant.number, attempt);
    if (refusal) return refusal;
    const data = new Uint8Array(await body.arrayBuffer());
    expect(sha(data)).toBe(grant.headers.sha);
    this.received.set(grant.number, { number: grant.number, size_bytes: data.length, sha256: sha(data) });
    return { status: 200, body: '' };
  }

  #upload() {
    return { upload: 'u1', video: 'v1', part_size_bytes: PART, parts: 10, expires_at: 0 };
  }
}

const never = () => new AbortController().signal;

describe('Transfer', () => {
  it('sends every part once and forgets the upload', async () => {
    const server = new FakeServer();
    expect(await server.transfer().run(never())).toBe('v1');
    expect(server.sent.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(server.remembered).toBeUndefined();
  });

  it('after a reload sends only the missing parts', async () => {
    const server = new FakeServer();
    server.remembered = 'u1';
    for (const number of [1, 2, 10]) {
      const part = bytes.slice((number - 1) * PART, number * PART);
      server.received.set(number, { number, size_bytes: part.length, sha256: sha(part) });
    }
    await server.transfer().run(never());
    expect(server.begun).toBe(0);
    expect(server.sent.toSorted((a, b) => a - b)).toEqual([3, 4, 5, 6, 7, 8, 9]);
  });

  it('sends a part again when what is there is another file’s', async () => {
    const server = new FakeServer();
    server.remembered = 'u1';
    server.received.set(1, { number: 1, size_bytes: PART, sha256: 'other' });
    await server.transfer().run(never());
    expect(server.sent).toContain(1);
  });

  it('begins anew when the remembered upload is gone or expired', async () => {
    const gone = new FakeServer();
    gone.remembered = 'u0';
    await gone.transfer().run(never());
    const expired = new FakeServer();
    expired.remembered = 'u1';
    expired.state = 'expired';
    await expired.transfer().run(never());
    expect([gone.begun, expired.begun]).toEqual([1, 1]);
  });

  it('is done at once when the upload was finished before', async () => {
    const server = new FakeServer();
    server.remembered = 'u1';
    server.state = 'finished';
    expect(await server.transfer().run(never())).toBe('v1');
    expect(server.sent).toEqual([]);
  });

  it('outlasts a broken connection and an expired address', async () => {
    const server = new FakeServer();
    server.refuse = (number, attempt) => {
      if (number === 3 && attempt < 7) return { status: 0, body: '' };
      if (number === 4 && attempt < 2) return { status: 403, body: '<Error><Code>AccessDenied</Code></Error>' };
      return undefined;
    };
    expect(await server.transfer().run(never())).toBe('v1');
    expect(server.waits).toBe(9);
    expect(server.troubles.at(-1)).toBeNull();
  });

  it('says what the store says while it waits', async () => {
    const server = new FakeServer();
    const full = '<Error><Code>ServiceUnavailable</Code><Message>the disk is full</Message></Error>';
    server.refuse = (number, attempt) => (number === 2 && attempt < 1 ? { status: 503, body: full } : undefined);
    expect(await server.transfer().run(never())).toBe('v1');
    expect(server.troubles).toContain('the disk is full');
  });

  it('sends a part that is damaged on its way as often as it takes, and gives up with a sentence when none arrives', async () => {
    const damaged = { status: 400, body: '<Error><Code>BadDigest</Code></Error>' };
    const bad = new FakeServer();
    bad.refuse = (number, attempt) => (number === 2 && attempt < 20 ? damaged : undefined);
    expect(await bad.transfer().run(never())).toBe('v1');
    const hopeless = new FakeServer();
    hopeless.refuse = (number) => (number === 2 ? damaged : undefined);
    await expect(hopeless.transfer().run(never())).rejects.toThrow('Parts of this file arrive damaged again and again');
  });

  it('asks again before it believes a refusal that a bad line may have made', async () => {
    for (const [refusals, believed] of [[4, false], [5, true]] as const) {
      const server = new FakeServer();
      const { begin } = server.ports();
      let left: number = refusals;
      const doubted: Ports['begin'] = async (wanted, key) => {
        if (left-- > 0) throw new ApiError(404, 'unknown-route', 'no such route');
        return begin(wanted, key);
      };
      const ran = new Transfer(file, { ...server.ports(), begin: doubted }, { progress: () => {}, troubled: () => {} }).run(never());
      if (believed) await expect(ran).rejects.toThrow('no such route');
      else expect(await ran).toBe('v1');
    }
  });

  it('does not pester a server that has no room for a new file', async () => {
    const server = new FakeServer();
    const begin = async () => {
      throw new ApiError(507, 'insufficient-storage', 'the disk has no room for this file: delete videos');
    };
    const transfer = new Transfer(file, { ...server.ports(), begin }, { progress: () => {}, troubled: () => {} });
    await expect(transfer.run(never())).rejects.toThrow('the disk has no room');
    expect(server.waits).toBe(0);
  });

  it('sends what finish calls missing', async () => {
    const server = new FakeServer();
    let once = true;
    const ports = server.ports();
    const finish = ports.finish;
    ports.finish = (upload) => {
      if (once) server.received.delete(5);
      once = false;
      return finish(upload);
    };
    const transfer = new Transfer(file, ports, { progress: () => {}, troubled: () => {} });
    expect(await transfer.run(never())).toBe('v1');
    expect(server.sent.filter((number) => number === 5)).toHaveLength(2);
  });

  it('pauses when aborted and goes on where it was', async () => {
    const server = new FakeServer();
    const control = new AbortController();
    server.refuse = (number) => {
      if (number === 6) control.abort(new Error('paused'));
      return undefined;
    };
    const transfer = server.transfer();
    await expect(transfer.run(control.signal)).rejects.toThrow('paused');
    const before = server.received.size;
    server.sent.length = 0;
    server.refuse = () => undefined;
    expect(await transfer.run(never())).toBe('v1');
    expect(server.begun).toBe(1);
    expect(server.sent.length).toBeLessThanOrEqual(10 - before + 4);
  });
});
