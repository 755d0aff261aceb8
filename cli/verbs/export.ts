import path from 'node:path';
import type { ExportRequest } from '../../daemon/api/types';
import { size } from '../format';
import { ProgressLine } from '../output';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['export IMAGE FILE [--format FORMAT] [--compress HOW]'],
  about:
    'Writes an image to a file, or a directory, that other tools read. It appears whole or not at all; a file that is there is replaced.',
  words: { min: 2, max: 2, names: 'an IMAGE and a FILE' },
  options: {
    format: {
      alias: 'f',
      type: 'string',
      choices: ['oci-archive', 'oci-dir', 'docker-archive'],
      requiresArg: true,
      describe: 'an OCI layout as a tar (the default) or a directory, or what `docker save` writes',
    },
    compress: {
      alias: 'c',
      type: 'string',
      choices: ['gzip', 'zstd', 'none'],
      requiresArg: true,
      describe: 'the layers: gzip, in a docker-archive none',
    },
  },
  examples: [
    ['export web web.tar', 'for skopeo, podman load and others'],
    ['export web web.tar --format docker-archive', 'for docker load'],
    ['export web web --format oci-dir --compress zstd', 'a directory, for umoci and skopeo'],
  ],
  notes:
    'The layers come out as they came in: with the same diffIDs, and uncompressed with the same bytes. The same image gives\nthe same file. It is plyd that writes it.',
  async run(args, daemon, output) {
    const [format, compress] = [args.text('format'), args.text('compress')] as [ExportRequest['format'], ExportRequest['compress']];
    const line = new ProgressLine(output.json);
    try {
      const request = {
        path: path.resolve(args.word(1)),
        ...(format !== undefined && { format }),
        ...(compress !== undefined && { compress }),
      };
      const work = daemon.images.export(args.word(0), request);
      for await (const { bytes, totalBytes, layers, totalLayers } of work) {
        const total = totalBytes > bytes ? ` of ${size(totalBytes)}` : '';
        line.show(`exporting ${args.word(0)} … ${size(bytes)}${total}, layer ${Math.min(layers + 1, totalLayers)} of ${totalLayers}`);
      }
      const result = await work.result();
      line.end();
      if (output.json) output.value(result);
      else output.line(`${result.path}: ${size(result.size)}, ${result.digest}`);
    } finally {
      line.end();
    }
  },
};
