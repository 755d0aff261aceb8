/** The OpenAPI 3.1 document, made of the routes and their schemas. */
import { z } from 'zod';
import { STATUS } from './errors';
import { METRICS_TYPE } from './metrics';
import type { Route } from './route';
import { Failure, named } from './schemas';

type Json = Record<string, unknown>;

const TEXT: Readonly<Record<number, string>> = {
  400: 'The request is not what it should be',
  403: 'The peer may not',
  404: 'There is no such thing',
  409: 'The state does not allow it',
  413: 'The body has more than 1 MiB',
  422: 'The kernel or a file system cannot do it',
  503: 'plyd cannot do its work now',
  500: 'Something unexpected',
};

export function openApi(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const { method, path } = route;
    (paths[path] ??= {})[method.toLowerCase()] = operation(route);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'plyd',
      version,
      description: 'The daemon of plyfs. HTTP/1.1 over a Unix socket, /run/ply/ply.sock unless told otherwise.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://localhost', description: 'through the Unix socket; the name of the host does not matter' }],
    paths,
    components: { schemas: components() },
  };
}

function components(): Json {
  const { schemas } = z.toJSONSchema(named, { uri: (id) => `#/components/schemas/${id}` });
  for (const schema of Object.values(schemas) as Json[]) {
    delete schema['$id'];
    delete schema['$schema'];
  }
  return schemas;
}

function operation({ method, path, summary, query, body, answer, status, lines, fails }: Route): Json {
  const parameters = [...pathParameters(path), ...queryParameters(query)];
  const words = path
    .split('/')
    .slice(2)
    .map((word) => word.replace(/[{}.]/g, ''));
  const type = lines === 'text' ? METRICS_TYPE : lines !== undefined ? 'application/x-ndjson' : 'application/json';
  return {
    operationId: [method.toLowerCase(), ...words]
      .map((word, i) => (i === 0 ? word : word.charAt(0).toUpperCase() + word.slice(1)))
      .join(''),
    summary,
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && { requestBody: { required: true, content: { 'application/json': { schema: reference(body) } } } }),
    responses: {
      [status]:
        answer === undefined ? { description: 'Done' } : { description: 'Done', content: { [type]: { schema: reference(answer) } } },
      ...Object.fromEntries([400, 403, ...fails, 500].map((code) => [code, failure(code)])),
    },
  };
}

function failure(status: number): Json {
  const codes = Object.entries(STATUS).filter(([, one]) => one === status);
  return {
    description: `${TEXT[status]} (code ${codes.map(([code]) => code).join(' or ')})`,
    content: { 'application/json': { schema: reference(Failure) } },
  };
}

function reference(schema: z.ZodType): Json {
  const name = named.get(schema)?.id;
  return name === undefined ? { type: 'object' } : { $ref: `#/components/schemas/${name}` };
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    description: 'an id, an unambiguous beginning of one (at least 4 characters), or a name',
    schema: { type: 'string', minLength: 1 },
  }));
}

function queryParameters(query: z.ZodObject | undefined): Json[] {
  if (query === undefined) return [];
  const { properties = {} } = z.toJSONSchema(query) as { properties?: Json };
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: false, schema }));
}
