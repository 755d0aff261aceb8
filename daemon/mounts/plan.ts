/**
 * What a mount's options come to, for plyfs's launcher (native-bindings/launcher), which is written in C and leaves their meaning to whoever will serve
 * the mount (`plan` in engine/control.ts).
 */
import type { PlanRequest } from '../engine/control';
import { refuseOtherDriver } from './drivers';
import { furtherOptions, MountFlag, parseOptions } from './options';

export const DEFAULT_SOURCE = 'plyfs';

/** What is an engine's own, and not a mount's. */
export function needsOwnEngine({ workers, logLevel }: { workers?: number; logLevel?: string }): boolean {
  return workers !== undefined || logLevel !== undefined;
}

/** For whoever mounts it again: the options without the directories, and the mount's source by its name. */
export function withName(further: string, name: string): string {
  const escaped = name.replace(/[\\,"]/g, '\\$&');
  return [further, `fsname=${escaped}`].filter((text) => text !== '').join(',');
}

/**
 * In hex, each with a NUL behind it: the flags for mount(2), the source, the end of the mount request from `options` on, and the directories in the order of
 * their descriptors, each after the letter of its option. Throws OptionError; Error where plyfs itself has to do it.
 */
export function planOf({ options: text, source }: Pick<PlanRequest, 'options' | 'source'>): string {
  const options = parseOptions(text);
  refuseOtherDriver(options);
  if (needsOwnEngine(options)) throw new Error('the options ask for an engine of its own');
  const name = options.fsname ?? source ?? DEFAULT_SOURCE;
  // as directories.ts has it: with `ro` the upper is the topmost layer
  const writable = options.upper !== undefined && (options.flags & MountFlag.RDONLY) === 0;
  const upper = options.upper === undefined ? [] : [`u${options.upper}`, `w${options.work}`];
  const layers = options.lower.map((path) => `l${path}`);
  const directories = writable ? [...layers, ...upper] : [...upper.slice(0, 1).map((path) => `l${path.slice(1)}`), ...layers];
  const request = JSON.stringify({ options, writable, level: 1, further: withName(furtherOptions(text), name) }).slice(1, -1);
  const fields = [Buffer.from(`${options.flags}`), Buffer.from(name, 'latin1'), Buffer.from(request)];
  return Buffer.concat(
    [...fields, ...directories.map((path) => Buffer.from(path, 'latin1'))].flatMap((field) => [field, Buffer.of(0)]),
  ).toString('hex');
}
