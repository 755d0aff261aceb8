import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';
import folders from './scripts/eslint-folder-rule.mjs';

export default defineConfig(
  { ignores: ['dist/', 'node_modules/', 'native-bindings/build/', 'native-bindings/build-faults/', 'native-bindings/src/', '.tap/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    plugins: { plyfs: folders },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      'plyfs/folder-rule': 'error',
      eqeqeq: 'error',
      'no-empty': 'error', // an empty catch too: what is ignored is ignored with a reason
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',

      // What low-level code needs.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-duplicate-enum-values': 'off', // words of a record that mean one thing or another
      '@typescript-eslint/no-unsafe-enum-comparison': 'off', // numbers off the wire are compared with enum members
      '@typescript-eslint/no-unnecessary-condition': 'off', // without noUncheckedIndexedAccess it takes list[i] for never undefined
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/restrict-plus-operands': ['error', { allowNumberAndString: true }],
      '@typescript-eslint/prefer-literal-enum-member': 'off', // layouts are computed from one another
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-require-imports': ['error', { allow: ['\\.node$'] }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // tap keeps the promise of a test itself.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: '@tapjs/test', name: ['test'] },
            { from: 'package', package: '@tapjs/core', name: ['test'] },
          ],
        },
      ],
    },
  },
);
