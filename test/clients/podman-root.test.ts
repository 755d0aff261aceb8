/** podman and buildah of root, with plyfs as mount_program. */
import t from 'tap';
import { leftBehind } from '../plyd/daemon.js';
import * as life from './life.js';
import { Place, whyNot } from './place.js';

void t.test('podman and buildah as root', { skip: whyNot('root') ?? false }, async (t) => {
  const place = await Place.make('root');
  try {
    await t.test('build and run', (t) => life.builds(t, place));
    await t.test('diff, stop, start, commit, export, rm', (t) => life.changes(t, place));
    await t.test('import, save, load', (t) => life.movesImages(t, place));
    await t.test('--read-only, and directories mounted with :O', (t) => life.readOnlyAndOverlays(t, place));
    await t.test('twenty containers at once', (t) => life.manyAtOnce(t, place));
    await t.test('buildah', (t) => life.buildah(t, place));
  } finally {
    await place.end(t);
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));
