import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['image create NAME LAYER…'],
  about:
    'Makes an image of layers. The TOPMOST LAYER COMES FIRST, as in lowerdir=A:B of a mount: what the first layer has hides what those after it have. Prints the id of the image.',
  words: { min: 2, max: Infinity, names: 'a NAME and one LAYER or more, the topmost first' },
  examples: [
    ['image create web app libs debian', 'app lies over libs, libs over debian'],
    ['create web', 'a container of it'],
  ],
  async run(args, daemon, output) {
    const [name, ...layers] = args.words;
    const image = await daemon.images.create({ name, layers });
    if (output.json) output.value(image);
    else output.line(image.id);
  },
};
