/** plyd: see daemon/main.ts. */
import { main } from '../daemon/main';

void main(process.argv.slice(2));
