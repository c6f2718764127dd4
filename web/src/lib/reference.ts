// The OpenAPI document as the reference shows it: operations in groups, schemas as shapes, an example for the command line; pure.

export interface Schema {
  $ref?: string;
  type?: string | string[];
  description?: string;
  enum?: string[];
  const?: unknown;
  format?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  oneOf?: Schema[];
  allOf?: Schema[];
  additionalProperties?: Schema | boolean;
}

interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header' | 'cookie';
  required?: boolean;
  description?: string;
  schema?: Schema;
}

interface Media {
  schema?: Schema;
}

interface OperationObject {
  operationId: string;
  tags: string[];
  summary: string;
  description?: string;
  security?: unknown[];
  parameters?: Parameter[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { description: string; content?: Record<string, Media> }>;
}

export interface Document {
  info: { title: string; version: string; description: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, OperationObject>>;
  components: { schemas: Record<string, Schema> };
  'x-problems': { code: string; status: number; meaning: string; next: string }[];
}

/** One operation, ready to be shown. */
export interface Operation extends OperationObject {
  method: string;
  path: string;
  open: boolean;
}

export interface Group {
  name: string;
  description: string;
  operations: Operation[];
}

const ORDER = ['get', 'post', 'put', 'patch', 'delete'];

/** The operations by tag, in the document's order of tags; only those in which every word of `search` is found. */
export function groups(document: Document, search: string): Group[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const all = Object.entries(document.paths).flatMap(([path, item]) =>
    ORDER.flatMap((method) => {
      const operation = item[method];
      return operation ? [{ ...operation, method: method.toUpperCase(), path, open: operation.security !== undefined }] : [];
    }),
  );
  const found = all.filter((operation) => {
    const text = [operation.method, operation.path, operation.operationId, operation.summary, operation.description].join(' ').toLowerCase();
    return words.every((word) => text.includes(word));
  });
  return document.tags
    .map(({ name, description }) => ({ name, description, operations: found.filter((operation) => operation.tags[0] === name) }))
    .filter((group) => group.operations.length > 0);
}

/** A schema as a shape that reads like the JSON it stands for; names are followed, but none into itself. */
export function shape(schema: Schema | undefined, document: Document, indent = '', inside: string[] = []): string {
  if (!schema) return 'any';
  if (schema.$ref) {
    const name = schema.$ref.split('/').at(-1) ?? '';
    const named = document.components.schemas[name];
    return !named || inside.includes(name) ? name : shape(named, document, indent, [...inside, name]);
  }
  const deeper = (part: Schema) => shape(part, document, indent, inside);
  if (schema.allOf) return object(merged(schema.allOf, document), document, indent, inside);
  if (schema.oneOf) return schema.oneOf.map(deeper).join(' | ');
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(' | ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.properties) return object(schema, document, indent, inside);
  if (schema.items) return `[${deeper(schema.items)}]`;
  if (typeof schema.additionalProperties === 'object') return `{ [name]: ${deeper(schema.additionalProperties)} }`;
  return [schema.type ?? 'any'].flat().join(' | ');
}

function merged(parts: Schema[], document: Document): Schema {
  const whole = parts.map((part) => (part.$ref ? (document.components.schemas[part.$ref.split('/').at(-1) ?? ''] ?? {}) : part));
  return {
    properties: Object.assign({}, ...whole.map((part) => part.properties ?? {})),
    required: whole.flatMap((part) => part.required ?? []),
  };
}

function object(schema: Schema, document: Document, indent: string, inside: string[]): string {
  const more = `${indent}  `;
  const lines = Object.entries(schema.properties ?? {}).map(([name, member]) => {
    const optional = schema.required?.includes(name) ? '' : '?';
    const why = member.description ? `  // ${member.description.replace(/\s+/g, ' ').replaceAll('`', '')}` : '';
    return `${more}${name}${optional}: ${shape(member, document, more, inside)}${why}`;
  });
  return lines.length === 0 ? '{}' : `{\n${lines.join('\n')}\n${indent}}`;
}

/** A command that asks for it, with a body that has the right form. */
export function curl(operation: Operation, document: Document, origin: string): string {
  const lines = [`curl ${operation.method === 'GET' ? '' : `-X ${operation.method} `}'${origin}${operation.path}'`];
  if (!operation.open) lines.push('-H "Authorization: Bearer $THEATRUM_TOKEN"');
  if (operation.parameters?.some((parameter) => parameter.name === 'Idempotency-Key')) lines.push('-H "Idempotency-Key: $(uuidgen)"');
  const body = operation.requestBody?.content['application/json']?.schema;
  if (body) {
    lines.push("-H 'Content-Type: application/json'");
    lines.push(`-d '${JSON.stringify(example(body, document))}'`);
  }
  return lines.join(' \\\n  ');
}

/** A value of a schema, for an example: what must be there, in its simplest form. */
export function example(schema: Schema | undefined, document: Document): unknown {
  if (!schema) return null;
  if (schema.$ref) return example(document.components.schemas[schema.$ref.split('/').at(-1) ?? ''], document);
  if (schema.enum) return schema.enum[0];
  if (schema.oneOf) return example(schema.oneOf.at(-1), document);
  if (schema.properties) {
    const names = Object.keys(schema.properties);
    const wanted = schema.required?.length ? schema.required : names.slice(0, 1);
    return Object.fromEntries(wanted.map((name) => [name, example(schema.properties?.[name], document)]));
  }
  if (schema.items) return [example(schema.items, document)];
  const type = [schema.type].flat().find((word) => word !== 'null');
  if (type === 'integer' || type === 'number') return 1;
  if (type === 'boolean') return true;
  return type === 'string' ? '…' : null;
}
