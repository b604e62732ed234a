/** Raise it when the same input makes other bytes. */
export const ENGINE = 'native-4';
