/** What the store refuses, in words for people. */
import type { ErrorCode } from '../api/types';

export type CatalogErrorCode = Extract<ErrorCode, 'not-found' | 'conflict' | 'in-use' | 'bad-request'>;

/**
 * A request that the catalog refuses: nothing was changed. The message says what is wrong and what to do; names that it leaves to the fields are
 * shown by whoever shows the message.
 */
export class CatalogError extends Error {
  /** not-found: names like the one that was asked for, the likeliest first. bad-request for an ambiguous id: the ids it may mean. */
  readonly near: string[] | undefined;
  /** in-use: the names (or ids) of the users. conflict: of what stands in the way. */
  readonly by: string[] | undefined;

  constructor(
    readonly code: CatalogErrorCode,
    message: string,
    more: { near?: string[]; by?: string[] } = {},
  ) {
    super(message);
    this.name = 'CatalogError';
    this.near = more.near?.length === 0 ? undefined : more.near;
    this.by = more.by;
  }
}

/** A database or an index that cannot be used, or a layer's directory that cannot be read: the message says which file, why, and what to do. */
export class StoreError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
  }
}
