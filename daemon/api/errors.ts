/** Errors as the API tells them: a code for programs, a message for people, and the status that goes with the code. */
import { EngineError, EngineGone } from '../mounts/engine-channel';
import { MountFailure } from '../mounts/mount';
import { OptionError } from '../mounts/options';
import { MountBusy, MountTaken } from '../mounts/supervisor';
import { CatalogError, StoreError } from '../store';
import type { ApiError, ErrorCode } from './types';

export const STATUS: Readonly<Record<ErrorCode, number>> = {
  'bad-request': 400,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  'in-use': 409,
  busy: 409,
  'too-large': 413,
  unsupported: 422,
  unavailable: 503,
  internal: 500,
};

export class HttpError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    /** where it is another one than the code's own */
    readonly status = STATUS[code],
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

export interface Told {
  status: number;
  error: ApiError;
  headers: Readonly<Record<string, string>>;
}

/** Nobody expected it: to be logged, too. */
export function isUnexpected(error: unknown): boolean {
  return told(error).error.code === 'internal';
}

export function told(error: unknown): Told {
  if (error instanceof HttpError) {
    return { status: error.status, error: { code: error.code, message: error.message }, headers: error.headers };
  }
  const described = describe(error);
  return { status: STATUS[described.code], error: described, headers: {} };
}

function describe(error: unknown): ApiError {
  const { message } = error as Error;
  if (error instanceof CatalogError) {
    const { code, near, by } = error;
    return { code, message, ...(near !== undefined && { near }), ...(by !== undefined && { by }) };
  }
  if (error instanceof MountBusy) {
    const { processes, mounts } = error;
    return { code: 'busy', message, processes, ...(mounts.length > 0 && { by: mounts }) };
  }
  if (error instanceof OptionError) return { code: 'bad-request', message };
  if (error instanceof MountTaken) return { code: 'in-use', message };
  if (error instanceof MountFailure || (error instanceof EngineError && !(error instanceof EngineGone)))
    return { code: 'unsupported', message };
  if (error instanceof StoreError || error instanceof EngineGone) return { code: 'internal', message };
  return { code: 'internal', message: `something that plyd did not expect: ${message} (its log has more)` };
}
