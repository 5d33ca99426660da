-- Users of the app. Their tokens' `sub` is `cognito_user_id`; until a user has
-- signed up with Cognito there is none.
--
-- A database of the original's is taken over as it is: every user keeps uuid
-- and names. Its `MOCK` and empty Cognito ids were none, and its times, which
-- have no zone, are UTC.
CREATE TABLE IF NOT EXISTS public.users (
    uuid            uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    display_name    text        NOT NULL,
    handle          text        NOT NULL,
    email           text        NOT NULL,
    cognito_user_id text,
    created_at      timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE public.users ALTER COLUMN cognito_user_id DROP NOT NULL;
UPDATE public.users SET cognito_user_id = NULL WHERE cognito_user_id IN ('MOCK', '');

-- What two users hold, and only one can: a person has to decide.
DO $$
DECLARE
    held text;
BEGIN
    SELECT string_agg(handle, ', ' ORDER BY handle) INTO held
      FROM (SELECT handle FROM public.users GROUP BY handle HAVING count(*) > 1) AS doubled;
    IF held IS NOT NULL THEN
        RAISE EXCEPTION 'more than one user has the handle %: rename or delete one of each in public.users, then migrate again', held;
    END IF;
    SELECT string_agg(handle, ', ' ORDER BY handle) INTO held
      FROM public.users
     WHERE cognito_user_id IN (SELECT cognito_user_id FROM public.users GROUP BY cognito_user_id HAVING count(*) > 1);
    IF held IS NOT NULL THEN
        RAISE EXCEPTION 'more than one user has the same cognito_user_id: %: leave it to one of them in public.users, then migrate again', held;
    END IF;
    SELECT count(*)::text INTO held FROM public.users WHERE handle IS NULL;
    IF held <> '0' THEN
        RAISE EXCEPTION '% users have no handle: give them one in public.users, then migrate again', held;
    END IF;
    IF (SELECT data_type FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = 'users' AND column_name = 'created_at')
       = 'timestamp without time zone' THEN
        ALTER TABLE public.users
            ALTER COLUMN created_at DROP DEFAULT,
            ALTER COLUMN created_at TYPE timestamptz USING created_at AT TIME ZONE 'UTC';
    END IF;
END
$$;

UPDATE public.users SET display_name = handle WHERE display_name IS NULL;
UPDATE public.users SET email = '' WHERE email IS NULL;
UPDATE public.users SET created_at = now() WHERE created_at IS NULL;

ALTER TABLE public.users
    ALTER COLUMN uuid SET DEFAULT gen_random_uuid(),
    ALTER COLUMN display_name SET NOT NULL,
    ALTER COLUMN handle SET NOT NULL,
    ALTER COLUMN email SET NOT NULL,
    ALTER COLUMN created_at SET NOT NULL,
    ALTER COLUMN created_at SET DEFAULT now();

-- The original had none of these; should somebody have added one of these
-- names, it makes way.
ALTER TABLE public.users
    DROP CONSTRAINT IF EXISTS users_handle_key,
    DROP CONSTRAINT IF EXISTS users_cognito_user_id_key;
ALTER TABLE public.users
    ADD CONSTRAINT users_handle_key UNIQUE (handle),
    -- Nulls are distinct. Deferrable, so that two users can swap.
    ADD CONSTRAINT users_cognito_user_id_key UNIQUE (cognito_user_id) DEFERRABLE INITIALLY IMMEDIATE;
