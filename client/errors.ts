/** What goes wrong between a program and plyd. */
import type { ApiError } from '../daemon/api/types';

/**
 * Codes beside those of the API (ErrorCode), where it was not reached, or its answer does not count:
 *
 *     no-daemon      nobody listens there
 *     no-permission  the socket is not open to this user
 *     no-answer      the connection broke off, or the answer took too long: whether it was done is not known
 *     bad-answer     what answered is no plyd, or of another version
 *     usage, changed, damaged, failed   the command ply's own
 */
export type LocalCode = 'usage' | 'no-daemon' | 'no-permission' | 'no-answer' | 'bad-answer' | 'changed' | 'damaged' | 'failed';

export type Failure = Omit<ApiError, 'code'> & { code: ApiError['code'] | LocalCode };

/** Every failure of a request. `message` is for people: what happened, to what, and what to do; `code` is for programs. */
export class PlyError extends Error {
  override readonly name: string = 'PlyError';

  constructor(readonly failure: Failure) {
    super(failure.message);
  }

  get code(): Failure['code'] {
    return this.failure.code;
  }

  /** names like the one that was asked for */
  get near(): readonly string[] {
    return this.failure.near ?? [];
  }

  /** who uses what was to be removed */
  get by(): readonly string[] {
    return this.failure.by ?? [];
  }

  /** that are in the mount */
  get processes(): readonly { pid: number; command: string }[] {
    return this.failure.processes ?? [];
  }
}
