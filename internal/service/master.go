package service

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/headroom-dev/headroom/internal/secret"
	"github.com/headroom-dev/headroom/internal/store"
)

// masterSetting holds the master key of the machines' tokens, sealed.
const masterSetting = "machine_token_key"

// OpenDeriver reads the master key of the machines' tokens from the database,
// or makes it at the first start. A keeper with another key than the database
// was sealed with is noticed here.
func OpenDeriver(ctx context.Context, st *store.Store, keeper *secret.Keeper) (*secret.Deriver, error) {
	fresh, err := keeper.Seal(ctx, map[string]string{"key": base64.StdEncoding.EncodeToString(secret.NewMaster())})
	if err != nil {
		return nil, err
	}
	var sealed string
	read := func(tx *store.Tx) (err error) {
		sealed, err = tx.Setting(masterSetting)
		return err
	}
	if err = st.Read(ctx, read); err == nil && sealed == "" {
		err = st.Write(ctx, func(tx *store.Tx) error {
			if err := read(tx); err != nil || sealed != "" {
				return err
			}
			sealed = string(fresh)
			return tx.SetSetting(masterSetting, sealed)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key of the machines' tokens: %w", err)
	}
	values, err := keeper.Open(ctx, []byte(sealed))
	if err != nil {
		return nil, err
	}
	master, err := base64.StdEncoding.DecodeString(values["key"])
	if err != nil {
		return nil, fmt.Errorf("reading the key of the machines' tokens: %w", err)
	}
	return secret.NewDeriver(master)
}
