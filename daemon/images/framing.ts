export function* framedTar(directory: string, root: string): Generator<Buffer, void> {
  throw new Error(`not yet: ${directory} ${root}`);
}
