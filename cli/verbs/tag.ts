import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['tag IMAGE NAME…'],
  about: 'Gives an image further names: NAME or NAME:TAG. One that another image has moves to this one.',
  words: { min: 2, max: Infinity, names: 'an IMAGE and a NAME' },
  examples: [
    ['tag debian debian:stable', 'a second name'],
    ['tag 3f2a91c04d1e web:1.2 web:latest', 'names for an image known by its id'],
    ['rmi debian:stable', 'takes the name away again'],
  ],
  async run(args, daemon, output) {
    const [image, ...names] = args.words;
    await output.each(
      names,
      (name) => daemon.images.tag(image, name),
      ({ id }) => output.line(id),
    );
  },
};
