import path from 'node:path';
import { type Figure, row, verify } from '../contract.js';
import { debianImages, PlacedPodman, plyProgram, timed, unpack } from '../images.js';
import { Plyd } from '../plyd.js';

const figure = (key: string, title: string, checks: Figure['checks'] = []): Figure => ({ key, title, unit: 's', better: 'less', checks });
const overOther = (other: string): Figure['checks'] => [{ value: { system: 'dev' }, over: { system: 'dev', figure: other }, atMost: 1 }];

export const importRow = row({
  name: 'import',
  title: 'import of a Debian image: ply, umoci unpack, podman load',
  about:
    'ply import of an image of three layers (Debian minbase, gzip) from an OCI layout into an empty store, by a plyd that runs; umoci unpack of the same layout; podman load of the same image as an oci-archive into an empty storage (overlay). Then ply import of a second image with the same three layers and one of its own, and again of the first.',
  dominates:
    'decompression and sha256 of every file, one file made per content, and the fsyncs at a layer’s end; for umoci and podman decompression and one file made per path. The second image: its own layer.',
  systems: ['dev'],
  figures: [
    figure('ply', 'ply import', [...overOther('umoci'), ...overOther('podman')]),
    figure('umoci', 'umoci unpack'),
    figure('podman', 'podman load'),
    figure('second', 'ply import of a second image on the same base'),
    figure('again', 'ply import of what is there'),
  ],
  setup: debianImages,
  async prepare(place) {
    return { plyd: await Plyd.start(place), podman: PlacedPodman.make(place) };
  },
  async measure(place, { plyd, podman }, { layout, images: [debian, more] }) {
    const ply = (archive: string, name: string): Promise<number> =>
      timed(plyProgram(place), ['import', archive, name], { ...process.env, PLY_SOCKET: plyd.socket });
    const first = await ply(debian.archive, debian.name);
    const umoci = await unpack(layout, debian.name, path.join(place.directory, 'unpacked'));
    const loaded = await podman.load(debian.archive);
    const second = await ply(more.archive, more.name);
    const again = await ply(debian.archive, debian.name);
    const { images } = (await plyd.request('GET', '/v1/images')) as { images: { layers: string[] }[] };
    verify('layers', images.map(({ layers }) => layers.length).join(' '), '3 4');
    return { ply: first, umoci, podman: loaded, second, again };
  },
});
