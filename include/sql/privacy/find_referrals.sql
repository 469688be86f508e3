-- What: which referrals the person stands in, or the one that was asked for, as the temporary table `personal`.
-- Why twice is safe: the temporary table ends with the transaction; nothing else is written.

create temporary table personal on commit drop as
select stored.referral_id
from partner_center_referrals as stored
where
    case
        when %(referral)s::text is null then strpos(partner_center_folded(stored.raw_data::text), %(needle)s) > 0
        else stored.referral_id = %(referral)s
    end
union
select old.referral_id
from partner_center_referral_versions as old
where
    case
        when %(referral)s::text is null then strpos(partner_center_folded(old.version::text), %(needle)s) > 0
        else old.referral_id = %(referral)s
    end
union
select staged.referral_id
from partner_center_staged as staged
inner join partner_center_staged_payloads as sent on staged.run_id = sent.run_id and staged.row_no = sent.row_no
where
    case
        when %(referral)s::text is null then strpos(partner_center_folded(sent.payload::text), %(needle)s) > 0
        else staged.referral_id = %(referral)s
    end;

analyze personal;
