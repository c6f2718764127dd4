// Which bytes are which part, and which parts are still to send; pure.

export interface Range {
  start: number;
  end: number;
}

/** The bytes [start, end) of part `number` (1-based). */
export function partRange(number: number, fileSize: number, partSize: number): Range {
  const start = (number - 1) * partSize;
  return { start, end: Math.min(fileSize, start + partSize) };
}

export function partCount(fileSize: number, partSize: number): number {
  return Math.ceil(fileSize / partSize);
}

/** Part numbers in the order to send them: all of 1..=parts that are not `done`. */
export function missingParts(parts: number, done: ReadonlySet<number>): number[] {
  return Array.from({ length: parts }, (_, index) => index + 1).filter((number) => !done.has(number));
}

/** Bytes known to be at the server: finished parts, and what the parts under way have sent. */
export class Ledger {
  #done = new Set<number>();
  #underWay = new Map<number, number>();

  constructor(
    readonly fileSize: number,
    readonly partSize: number,
  ) {}

  get parts(): number {
    return partCount(this.fileSize, this.partSize);
  }

  get done(): ReadonlySet<number> {
    return this.#done;
  }

  range(number: number): Range {
    return partRange(number, this.fileSize, this.partSize);
  }

  progress(number: number, bytes: number): void {
    const { start, end } = this.range(number);
    this.#underWay.set(number, Math.min(bytes, end - start));
  }

  /** The part's bytes did not arrive after all. */
  lose(number: number): void {
    this.#underWay.delete(number);
    this.#done.delete(number);
  }

  finish(number: number): void {
    this.#underWay.delete(number);
    this.#done.add(number);
  }

  missing(): number[] {
    return missingParts(this.parts, this.#done);
  }

  sentBytes(): number {
    let sum = 0;
    for (const number of this.#done) {
      const { start, end } = this.range(number);
      sum += end - start;
    }
    for (const bytes of this.#underWay.values()) sum += bytes;
    return sum;
  }
}
