/**
 * What design.md forbids, enforced: who may import whom, Node in workflows, promises nobody waits for.
 * test/lint.test.ts shows that each rule bites.
 */
import { builtinModules } from 'node:module';
import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** Workflow files without a Temporal import: to be read, tested and used by activities as plain functions. */
const pure = [
  'answers',
  'backends',
  'byte-order',
  'checkpoints',
  'content-key',
  'convert-command',
  'cordon',
  'data-files',
  'dataset-figures',
  'dcp-shards',
  'device-fault-list',
  'device-faults',
  'device-fit',
  'duration',
  'engines',
  'extra-args',
  'failure-cause',
  'failure-limits',
  'fault-rules',
  'fewer-nodes',
  'flag-complaints',
  'flag-rules',
  'fsdp2',
  'fsdp2-flag-list',
  'fsdp2-identity',
  'fsdp2-plan',
  'fsdp2-recipes',
  'fsdp2-rules',
  'gigabytes',
  'glob',
  'hang-culprit',
  'hang-limits',
  'high-availability',
  'hugging-face',
  'islands',
  'launch-environment',
  'layout-rules',
  'learning-rate',
  'ledger',
  'leftovers',
  'memory',
  'muon',
  'online-conversion',
  'open-activities',
  'optimizer-state',
  'pair-nodes',
  'past',
  'plan',
  'plan-page',
  'pool-page',
  'presets',
  'quarantine',
  'reap-request',
  'recipes',
  'recovery',
  'release-flag-list',
  'release-flags',
  'releases',
  'requests',
  'retention',
  'right-fields',
  'roster',
  'run-file-reference',
  'save-interval',
  'series-identity',
  'settings',
  'shard-progress',
  'shell-line',
  'spec',
  'spec-fields',
  'spec-rules',
  'stack-table',
  'status',
  'topology',
  'training-end',
  'training-flags',
  'unsealed',
  'warnings',
  'weight-shapes',
  'wishes',
  'wrong-start',
];
/** What activities may know of workflows. */
const forActivities = [
  'byte-order',
  'checkpoints',
  'contract',
  'data-files',
  'dataset-figures',
  'dcp-shards',
  'device-faults',
  'duration',
  'engines',
  'fault-rules',
  'gigabytes',
  'glob',
  'hugging-face',
  'islands',
  'ledger',
  'leftovers',
  'memory',
  'messages',
  'past',
  'plan',
  'quarantine',
  'recovery',
  'releases',
  'retention',
  'roster',
  'series-identity',
  'spec',
  'status',
  'topology',
  'weight-shapes',
  'wrong-start',
];

/** A folder's sources, whatever module system they say they are of. */
const sources = (folder) => `${folder}/**/*.{ts,mts,cts,js,mjs,cjs}`;

const oneOf = (names) => `(${names.join('|')})`;

const walls = {
  // The sandbox's bundler would refuse Node as well, but only when somebody builds.
  node: {
    regex: `^(node:|${oneOf(builtinModules)}(/|$))`,
    message: 'Workflows run in a sandbox without Node: ask an activity.',
  },
  workflows: {
    regex: `^(?!\\./(?!.*\\.\\.)|@temporalio/(workflow|common)$|zod(/|$)|@noble/hashes/)`,
    message: 'workflows/ imports itself, @temporalio/workflow, @temporalio/common, zod and @noble/hashes.',
  },
  pure: {
    regex: '^@temporalio/',
    message: 'This file is pure: no Temporal import, not even of a type.',
  },
  impure: {
    regex: `^\\./(?!${oneOf(pure)}\\.js$)`,
    allowTypeImports: true,
    message: 'This file is pure: of other files of workflows/ it takes types only.',
  },
  activities: {
    regex: `/workflows/(?!${oneOf(forActivities)}\\.js$)`,
    message: `activities/ imports from workflows/ only ${forActivities.join(', ')}.`,
  },
  workers: {
    regex: '/workers/',
    message: 'Workers wire: only tests and infra/ import them.',
  },
  workflowsByPath: {
    regex: `/workflows/(?!${oneOf([...forActivities, 'plan-page', 'run-file-reference', 'fsdp2-plan'])}\\.js$)`,
    allowTypeImports: true,
    message: 'Workers hand workflows over by path: no workflow runs outside the sandbox.',
  },
  infra: { regex: '/infra/', message: 'Only infra/ and tests import infra/.' },
  zx: { regex: '^zx(/|$)', message: 'Only activities/shell.ts runs commands through zx.' },
  env: {
    regex: '^(node:)?process$',
    message: 'Only workers/config.ts reads the environment.',
  },
};

/** One list a folder: a later list replaces an earlier one, so each names all that holds there. */
const imports = (files, names, ignores = []) => ({
  files,
  ignores,
  rules: {
    'no-restricted-imports': 'off',
    '@typescript-eslint/no-restricted-imports': ['error', { patterns: names.map((name) => walls[name]) }],
  },
});

const nodeGlobals = ['process', 'require', 'Buffer', 'fetch', 'setImmediate', 'performance'];

/** Node 20 collects a timeout that is part of another signal, and that one never aborts. */
const lostSignals = [
  {
    object: 'AbortSignal',
    property: 'timeout',
    message: 'A limit of time is timeLimit() of activities/time-limit.ts.',
  },
];

const pureFiles = pure.map((name) => `workflows/${name}.ts`);

export default defineConfig(
  globalIgnores([
    'activities/preprocess/encoder/assembly/',
    'dist/',
    '.cache/',
    '.venv/',
    'coverage/',
    'test/fixtures/',
  ]),
  js.configs.recommended,
  tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: { allowDefaultProject: ['*.js'] } } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      'no-restricted-properties': ['error', ...lostSignals],
      // Objects of functions here use no `this`, and workflows and activities are async by contract.
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/require-await': 'off',
    },
  },

  imports([sources('workflows')], ['node', 'workflows'], pureFiles),
  imports(pureFiles, ['node', 'workflows', 'pure', 'impure']),
  imports([sources('activities')], ['activities', 'workers', 'infra', 'zx', 'env'], ['activities/shell.ts']),
  imports(['activities/shell.ts'], ['activities', 'workers', 'infra', 'env']),
  imports([sources('workers')], ['workflowsByPath', 'infra', 'zx', 'env'], ['workers/config.ts']),
  imports(['workers/config.ts'], ['workflowsByPath', 'infra', 'zx']),
  imports([sources('infra'), sources('test')], ['zx']),
  {
    files: [sources('workflows')],
    rules: {
      // The import walls above see declarations only.
      'no-restricted-syntax': ['error', { selector: 'ImportExpression', message: 'No import() in workflows.' }],
      'no-restricted-globals': ['error', ...nodeGlobals],
    },
  },
  {
    files: [sources('activities'), sources('workers')],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'ImportExpression:not([source.value=/^\\.\\/(?!.*\\.\\.)/])',
          message: 'import() is for a file of the same folder: the import walls see declarations only.',
        },
      ],
    },
  },
  {
    files: ['workflows', 'activities', 'workers'].map(sources),
    ignores: ['workers/config.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: walls.env.message },
        ...nodeGlobals.map((property) => ({ object: 'globalThis', property, message: 'Say it without globalThis.' })),
        ...lostSignals,
      ],
    },
  },
  {
    // Set-up runs before there is anything to install types with: JSDoc, and JSON as it comes.
    files: ['**/*.mjs', '*.js'],
    languageOptions: {
      globals: { process: 'readonly', console: 'readonly', setTimeout: 'readonly', clearTimeout: 'readonly' },
    },
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
    },
  },
);
