/** What others report, with their conditions; none of it was measured here, and each counts in its own way. */
export interface Published {
  who: string;
  figure: string;
  conditions: string;
  source: string;
}

export const PUBLISHED: Published[] = [
  {
    ...{ who: 'Llama 3 405B', figure: '> 90 %', source: 'arXiv 2407.21783' },
    conditions: '16,384 GPUs, 54 days, 419 unexpected interruptions; effective training time',
  },
  {
    ...{ who: 'ByteRobust', figure: '97 %', source: 'arXiv 2509.16293' },
    conditions: '9,600 GPUs, three months; effective training time',
  },
  {
    ...{ who: 'MegaScale', figure: '> 90 %', source: "NSDI'24" },
    conditions: '12,288 GPUs; effective training time, faults caught up with in < 15 min',
  },
  {
    ...{ who: 'Huawei', figure: '98 %', source: 'press, June 2025' },
    conditions: '10,000 NPUs; availability, recovery < 10 min; vendor claim',
  },
  {
    ...{ who: 'CoreWeave', figure: '96 %', source: 'vendor' },
    conditions: '1,024 GPUs, one failure in 3.66 days',
  },
  {
    ...{ who: 'DLRover', figure: '69 -> 95 %', source: 'README' },
    conditions: 'GLM-65B, thousands of GPUs; goodput before and after',
  },
  {
    ...{ who: 'DLRover, a measured week', figure: '32.9 -> 58.9 %', source: 'blog' },
    conditions: '1,000 GPUs; effective share of all time, queueing included',
  },
  {
    ...{ who: 'Gemini (Google)', figure: '85 -> 97 %', source: 'report' },
    conditions: 'size not told; with replicas in memory',
  },
];
