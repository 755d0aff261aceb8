import { type Figure, row } from '../contract.js';
import { debianImages, diskUse, PlacedPodman, plyProgram, timed, unpack } from '../images.js';
import { Plyd } from '../plyd.js';

const figure = (key: string, title: string, checks: Figure['checks'] = []): Figure => ({ key, title, unit: 'MiB', better: 'less', checks });
const overOther = (other: string): Figure['checks'] => [{ value: { system: 'dev' }, over: { system: 'dev', figure: other }, atMost: 1 }];

export const diskUseRow = row({
  name: 'disk-use',
  title: 'disk use of two Debian images on one base: ply, umoci, podman',
  about:
    'du of the store after both images of the import row were imported; of what umoci unpack made of both; of podman’s storage after podman load of both. The second image’s own layer holds files that the base has too.',
  dominates: 'the contents, each once (ply), once per layer (podman), once per image (umoci); then the block that each small file takes.',
  systems: ['dev'],
  mostRuns: 1,
  figures: [
    figure('ply', 'ply', [...overOther('umoci'), ...overOther('podman')]),
    figure('umoci', 'umoci unpack'),
    figure('podman', 'podman load'),
  ],
  setup: debianImages,
  async prepare(place) {
    return { plyd: await Plyd.start(place), podman: PlacedPodman.make(place) };
  },
  async measure(place, { plyd, podman }, { layout, images }) {
    for (const { name, archive } of images) {
      await timed(plyProgram(place), ['import', archive, name], { ...process.env, PLY_SOCKET: plyd.socket });
      await unpack(layout, name, place.path('unpacked', name));
      await podman.load(archive);
    }
    await podman.settle();
    return { ply: await diskUse(place.path('plyd')), umoci: await diskUse(place.path('unpacked')), podman: await diskUse(podman.graph) };
  },
});
