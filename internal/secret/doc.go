// Package secret keeps what must not be readable in the database.
//
// A [Keeper] seals the secret settings of configured objects with envelope
// encryption: a fresh data key encrypts the values, and the keeper's key
// encrypts the data key. The envelope names the key, so that a restored
// database with another key is recognised and said so.
//
// A [Deriver] makes the tokens that machines bear at their first contact. They
// are computed and never stored, so that a repeated create call carries the
// same user data, and a copy of the database lets nobody register.
package secret
